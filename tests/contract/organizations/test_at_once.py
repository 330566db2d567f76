"""Who waited for a reply sees its effect with the very next request, whichever service and process answers that.

All over HTTP, on one connection, without any pause: in the placement "process" three verifiers have to know in time.
Everything is done several times, since a verifier that has not heard may be lucky.
"""

from __future__ import annotations

from typing import Final

import pytest
from acme_users.store import AuthorityStore

from acme.testing import Client, Platform
from acme.testing import User as Caller
from tests.contract.tokens import bearing, make, problem
from tests.offices import Office

pytestmark = pytest.mark.every_placement

OFTEN: Final = range(5)


@pytest.fixture
async def ann(platform: Platform) -> Caller:
    """Somebody with a session of her own."""
    return await platform.sign_up()


@pytest.fixture
def client(platform: Platform, ann: Caller) -> Client:
    return platform.client(ann)


async def test_an_organisation_that_was_made_is_there_for_every_service(client: Client) -> None:
    for _ in OFTEN:
        made = (await client.post("/v1/organizations", {"name": "Ours"})).expect(201)["id"]
        project = (await client.post("/v1/projects", {"name": "Atlas", "organization_id": made})).expect(201)
        (await client.get(f"/v1/projects/{project['id']}")).expect(200)
        again = (await client.post("/v1/organizations", {"name": "Ours, too"})).expect(201)["id"]
        (await client.patch(f"/v1/organizations/{again}", {"name": "Mine"})).expect(200)


async def test_an_invitation_that_was_accepted_lets_its_guest_in(office: Office, ann: Caller, client: Client) -> None:
    for number in OFTEN:
        other = await office.another()
        await other.invite(ann.email, role="member")
        token = await other.token(ann.email, number=number + 2)  # the first was about the address
        (await client.post("/v1/invitations:accept", {"token": token})).expect(200)
        (await client.post("/v1/projects", {"name": "Atlas", "organization_id": other.id})).expect(201)
        (await client.get(f"/v1/organizations/{other.id}")).expect(200)


async def test_a_role_that_somebody_lays_down_is_gone_and_so_is_who_leaves(
    office: Office, ann: Caller, client: Client
) -> None:
    for _ in OFTEN:
        other = await office.another()
        async with office.database.transaction():
            await other.admit(ann, "admin")
            await AuthorityStore(office.database).announce(grants_of=ann.id, at=office.platform.clock.now())
        (await client.post("/v1/organizations", {"name": "Any"})).expect(201)  # now everybody knows of both
        member, path = f"/v1/organizations/{other.id}/members/{ann.id}", f"/v1/organizations/{other.id}"
        (await client.patch(path, {"name": "Mine"})).expect(200)
        (await client.patch(member, {"role": "viewer"})).expect(200)
        problem(await client.patch(path, {"name": "Yours"}), 403, "permission_denied")
        (await client.post(f"{path}:leave", {})).expect(204)
        problem(await client.get(path), 404)
        problem(await client.post("/v1/projects", {"name": "Atlas", "organization_id": other.id}), 404)


async def test_a_token_that_was_deleted_opens_nothing_any_more(platform: Platform, ann: Caller, client: Client) -> None:
    for _ in OFTEN:
        token = await make(platform, ann, "*")
        program = bearing(platform, ann, token.secret)
        (await program.get("/v1/projects")).expect(200)
        assert token.token is not None
        (await client.delete(f"/v1/tokens/{token.token.id}")).expect(204)
        problem(await program.get("/v1/projects"), 401)


async def test_a_session_that_was_ended_opens_nothing_any_more(platform: Platform, ann: Caller, client: Client) -> None:
    for _ in OFTEN:
        other = await platform.log_in(ann.email)
        (await platform.client(other).get("/v1/projects")).expect(200)
        (await client.delete(f"/v1/sessions/{other.principal.session}")).expect(204)
        problem(await platform.client(other).get("/v1/projects"), 401, "token_revoked")
