"""Service accounts through their contract, and their tokens over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio
from acme_users import plugin as users_plugin

from acme.contracts.users.v1 import (
    CreateServiceAccountRequest,
    CreateServiceAccountTokenRequest,
    DeleteServiceAccountRequest,
    DeleteServiceAccountTokenRequest,
    ListServiceAccountsRequest,
    ListServiceAccountTokensRequest,
    NewToken,
    ServiceAccount,
    ServiceAccountChanged,
    ServiceAccountsStub,
)
from acme.errors import Denied, NotFound
from acme.plugin import Plugin
from acme.testing import Platform
from acme.testing import User as Caller
from tests.contract.tokens import AT_ONCE, bearing, problem, soon
from tests.offices import Office, looking

pytestmark = pytest.mark.every_placement


@pytest.fixture(scope="module")
def plugins() -> list[Plugin]:
    return [users_plugin]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def users(platform: Platform) -> AsyncIterator[asyncpg.Connection]:
    async with looking(platform, "users") as database:
        yield database


@pytest.fixture
async def office(platform: Platform, users: asyncpg.Connection) -> AsyncIterator[Office]:
    async with Office.opened(platform, users) as office:
        yield office


@pytest.fixture
async def admin(office: Office) -> Caller:
    return await office.member("admin")


def accounts(office: Office, caller: Caller) -> ServiceAccountsStub:
    return office.platform.stub(ServiceAccountsStub, as_=caller)


async def create(office: Office, caller: Caller, role: str = "member", name: str = "CI") -> ServiceAccount:
    request = CreateServiceAccountRequest(organization_id=office.id, name=name, role=role)
    return await accounts(office, caller).create_service_account(request)


async def token_of(office: Office, caller: Caller, account: ServiceAccount, *scopes: str) -> NewToken:
    return await accounts(office, caller).create_service_account_token(
        CreateServiceAccountTokenRequest(
            organization_id=office.id, id=account.id, name="deploy", scopes=list(scopes or ("*",)), expires_in_days=30
        )
    )


async def test_a_service_account_acts_by_its_role_and_is_no_person(office: Office, admin: Caller) -> None:
    account = await create(office, admin, "viewer")
    made = await token_of(office, admin, account)
    assert made.secret.startswith("acs_")
    client = bearing(office.platform, admin, made.secret)
    (await client.get(f"/v1/organizations/{office.id}")).expect(200)
    problem(await client.patch(f"/v1/organizations/{office.id}", {"name": "Mine"}), 403, "permission_denied")
    problem(await client.get("/v1/users/me"), 403, "not_a_person")
    problem(await client.get(f"/v1/organizations/{admin.organization}"), 404)
    created = (await office.events())[-1]
    assert isinstance(created, ServiceAccountChanged)
    assert (created.service_account_id, created.change) == (account.id, "created")


async def test_its_tokens_cover_no_more_than_their_scopes(office: Office, admin: Caller) -> None:
    account = await create(office, admin, "admin")
    client = bearing(office.platform, admin, (await token_of(office, admin, account, "read")).secret)
    (await client.get(f"/v1/organizations/{office.id}/members")).expect(200)
    problem(await client.patch(f"/v1/organizations/{office.id}", {"name": "Mine"}), 403, "insufficient_scope")


async def test_nobody_makes_one_that_may_do_more_than_oneself(office: Office, admin: Caller) -> None:
    with pytest.raises(Denied) as refused:
        await create(office, admin, "owner")
    assert refused.value.reason == "role_above_own"
    before = await listed(office)
    for caller in (await office.member("member"), await office.member("guest")):
        with pytest.raises(Denied):
            await create(office, caller, "guest")
    with pytest.raises(NotFound):
        await create(office, await office.stranger(), "guest")
    assert await listed(office) == before


async def test_an_admin_gets_at_no_token_of_an_owners_program(office: Office, admin: Caller) -> None:
    strong = await create(office, office.owner, "owner")
    made = await token_of(office, office.owner, strong)
    assert made.token is not None
    with pytest.raises(Denied) as refused:
        await token_of(office, admin, strong)
    assert refused.value.reason == "role_above_own"
    stub = accounts(office, admin)
    with pytest.raises(Denied):
        await stub.delete_service_account_token(
            DeleteServiceAccountTokenRequest(organization_id=office.id, id=strong.id, token_id=made.token.id)
        )
    with pytest.raises(Denied):
        await stub.delete_service_account(DeleteServiceAccountRequest(organization_id=office.id, id=strong.id))
    (await bearing(office.platform, admin, made.secret).get(f"/v1/organizations/{office.id}")).expect(200)


async def test_deleting_one_ends_its_tokens_within_a_second_and_stays(office: Office, admin: Caller) -> None:
    account = await create(office, admin)
    made = [await token_of(office, admin, account) for _ in range(2)]
    clients = [bearing(office.platform, admin, each.secret) for each in made]
    path = f"/v1/organizations/{office.id}"
    for client in clients:
        (await client.get(path)).expect(200)
    request = DeleteServiceAccountRequest(organization_id=office.id, id=account.id)
    await accounts(office, admin).delete_service_account(request)

    async def refused() -> bool:
        return [(await client.get(path)).status for client in clients] == [401, 401]

    assert await soon(refused) < AT_ONCE
    await accounts(office, admin).delete_service_account(request)
    assert await listed(office) == []
    with pytest.raises(NotFound):
        await token_of(office, admin, account)
    assert [event.change for event in await office.events() if isinstance(event, ServiceAccountChanged)] == [
        "created",
        "deleted",
    ]


async def test_a_token_of_one_is_revoked_alone(office: Office, admin: Caller) -> None:
    account = await create(office, admin)
    gone, kept = [await token_of(office, admin, account) for _ in range(2)]
    assert gone.token is not None
    assert kept.token is not None
    stub = accounts(office, admin)
    request = ListServiceAccountTokensRequest(organization_id=office.id, id=account.id)
    assert {token.id for token in (await stub.list_service_account_tokens(request)).tokens} == {
        gone.token.id,
        kept.token.id,
    }
    for _ in range(2):
        await stub.delete_service_account_token(
            DeleteServiceAccountTokenRequest(organization_id=office.id, id=account.id, token_id=gone.token.id)
        )
    assert [token.id for token in (await stub.list_service_account_tokens(request)).tokens] == [kept.token.id]


async def test_one_of_another_organisation_does_not_exist(office: Office, admin: Caller) -> None:
    other = await office.another()
    account = await create(other, other.owner)
    stub = accounts(office, admin)
    with pytest.raises(NotFound):
        await stub.delete_service_account(DeleteServiceAccountRequest(organization_id=office.id, id=account.id))
    with pytest.raises(NotFound):
        await token_of(office, admin, account)
    with pytest.raises(NotFound):
        await stub.list_service_accounts(ListServiceAccountsRequest(organization_id=other.id))


async def test_they_are_listed_oldest_first_on_pages(office: Office, admin: Caller) -> None:
    made = [(await create(office, admin, name=str(number))).id for number in range(3)]
    assert await listed(office) == made


async def listed(office: Office) -> list[str]:
    """Every service account, page by page of two, as the owner sees them."""
    found: list[str] = []
    token = ""
    while True:
        reply = await accounts(office, office.owner).list_service_accounts(
            ListServiceAccountsRequest(organization_id=office.id, page_size=2, page_token=token)
        )
        found += [account.id for account in reply.service_accounts]
        token = reply.next_page_token
        if not token:
            return found
