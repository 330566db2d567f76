"""The users services through their contracts, in every placement: accounts, profile and organisations.

Log-in, refresh and revocation are in test_sessions.py.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from acme_users import plugin as users_plugin

from acme.contracts.google.protobuf import FieldMask
from acme.contracts.users.v1 import (
    CreateUserReply,
    CreateUserRequest,
    GetMeRequest,
    ListOrganizationsRequest,
    ListSessionsRequest,
    OrganizationsStub,
    RefreshSessionRequest,
    SessionRevoked,
    SessionsStub,
    UpdateMeRequest,
    User,
    UserCreated,
    UserEmailVerified,
    UsersStub,
    UserUpdated,
)
from acme.errors import Denied, Invalid, Malformed, Stale, Unauthenticated
from acme.ids import is_id
from acme.plugin import Plugin
from acme.testing import Platform
from acme.testing import User as Caller
from acme.testing.people import PASSWORD
from tests.people import OTHER, People, new_email

pytestmark = pytest.mark.every_placement


@pytest.fixture(scope="module")
def plugins() -> list[Plugin]:
    return [users_plugin]


@pytest.fixture
def people(platform: Platform) -> People:
    return People(platform)


@pytest.fixture
async def ann(people: People, email: str) -> Caller:
    """Somebody with an account whose address is unproved."""
    await people.sign_up(email)
    return await people.caller(email)


@pytest.fixture
def email() -> str:
    return new_email()


# ---- sign-up -------------------------------------------------------------------------------------------------------


async def test_signing_up_makes_an_account_with_a_personal_organisation(
    platform: Platform, people: People, email: str
) -> None:
    before = platform.clock.now()
    await people.sign_up(email, name="Ann Lee")
    caller = await people.caller(email)
    me = await platform.stub(UsersStub, as_=caller).get_me(GetMeRequest())
    assert is_id(me.id, "usr")
    assert is_id(me.organization_id, "org")
    assert me.created_at is not None
    assert before <= me.created_at <= platform.clock.now()
    assert me == User(
        id=me.id,
        email=email,
        email_verified=False,
        display_name="Ann Lee",
        organization_id=me.organization_id,
        region="local",
        created_at=me.created_at,
        updated_at=me.created_at,
        version=1,
        locale="en",
        time_zone="UTC",
    )
    assert await platform.outbox("users", key=me.id) == [
        UserCreated(user_id=me.id, organization_id=me.organization_id, region="local", created_at=me.created_at),
        *(await platform.outbox("users", key=me.id))[1:],
    ]


async def test_the_reply_is_the_same_whether_the_address_is_unknown_unproved_or_proved(
    people: People, email: str
) -> None:
    unknown = await people.sign_up(email)
    unproved = await people.sign_up(email)
    await people.verify(await people.token(email, number=2))
    proved = await people.sign_up(email)
    assert unknown == unproved == proved == CreateUserReply()


async def test_the_mail_asks_for_proof_by_a_link_and_by_a_command(
    platform: Platform, people: People, email: str
) -> None:
    await people.sign_up(email)
    mail = await platform.mailbox.wait(email)
    token = await people.token(email)
    assert mail.links[0].endswith(f"/verify-email?token={token}")
    assert mail.links[0] in mail.text
    assert "curl -X POST" in mail.text
    assert f'{{"token": "{token}"}}' in mail.text


async def test_no_mail_repeats_what_somebody_typed(platform: Platform, people: People, email: str) -> None:
    await people.sign_up(email, name="Win a prize at evil.example")
    await people.verify(await people.token(email))
    await people.sign_up(email, name="Win a prize at evil.example")
    await platform.mailbox.wait(email, number=2)
    assert [mail for mail in platform.mailbox.list(email) if "evil" in mail.text + mail.subject] == []


async def test_signing_up_with_a_proved_address_only_tells_its_owner(
    platform: Platform, people: People, email: str
) -> None:
    user = await people.verified(email)
    await people.sign_up(email.upper(), OTHER)
    mail = await platform.mailbox.wait(email, number=2)
    assert mail.subject == "You already have an account"
    assert mail.links == ()
    assert platform.mailbox.list(email.upper()) == []
    await people.log_in(email)
    with pytest.raises(Unauthenticated):
        await people.log_in(email, OTHER)
    assert [type(event) for event in await platform.outbox("users", key=user.id)].count(UserCreated) == 1


async def test_signing_up_again_changes_nothing_before_the_address_is_proved(people: People, email: str) -> None:
    await people.sign_up(email)
    await people.sign_up(email, OTHER)
    await people.log_in(email)
    with pytest.raises(Unauthenticated):
        await people.log_in(email, OTHER)


async def test_ten_sign_ups_of_one_address_at_once_make_one_account(
    platform: Platform, people: People, email: str
) -> None:
    before = len(await platform.outbox("users"))
    replies = await asyncio.gather(*(people.sign_up(email, name=f"Ann {number}") for number in range(10)))
    assert replies == [CreateUserReply()] * 10
    await platform.mailbox.wait(email, number=5)  # and no more: see throttles.py
    created = (await platform.outbox("users"))[before:]
    assert [type(event) for event in created] == [UserCreated]


@pytest.mark.parametrize(
    ("message", "pointer"),
    [
        (CreateUserRequest(email="", password=PASSWORD, display_name="Ann"), "/email"),
        (CreateUserRequest(email="ann", password=PASSWORD, display_name="Ann"), "/email"),
        (CreateUserRequest(email="ann@example.com", password="", display_name="Ann"), "/password"),
        (CreateUserRequest(email="ann@example.com", password="14 characters!", display_name="Ann"), "/password"),
        (CreateUserRequest(email="ann@example.com", password="x" * 1025, display_name="Ann"), "/password"),
        (CreateUserRequest(email="ann@example.com", password="\ufdfa" * 100, display_name="Ann"), "/password"),
        (CreateUserRequest(email="ann@example.com", password=PASSWORD, display_name=""), "/display_name"),
        (CreateUserRequest(email="ann@example.com", password=PASSWORD, display_name="a\nb"), "/display_name"),
    ],
    ids=["no email", "no address", "no password", "short", "long", "long once normalised", "no name", "lines"],
)
async def test_a_sign_up_that_breaks_a_rule_is_refused_with_a_pointer(
    platform: Platform, message: CreateUserRequest, pointer: str
) -> None:
    with pytest.raises(Invalid) as caught:
        await platform.stub(UsersStub).create_user(message)
    assert [fault.pointer for fault in caught.value.faults] == [pointer]


# ---- proof of an address -------------------------------------------------------------------------------------------


async def test_the_first_sign_ups_token_proves_its_accounts_address(
    platform: Platform, people: People, ann: Caller
) -> None:
    user = await people.verify(await people.token(ann.email))
    assert (user.id, user.email, user.email_verified, user.version) == (ann.id, ann.email, True, 2)
    assert user == await platform.stub(UsersStub, as_=ann).get_me(GetMeRequest())
    assert UserEmailVerified(user_id=ann.id, verified_at=user.updated_at) in await platform.outbox("users", key=ann.id)


async def test_an_unknown_a_used_and_an_expired_token_get_the_same_answer(
    platform: Platform, people: People, email: str
) -> None:
    await people.sign_up(email)
    used = await people.token(email)
    await people.verify(used)
    await people.sign_up(late := "late." + email)
    expired = await people.token(late)
    platform.clock.advance(timedelta(hours=24, seconds=1))
    said = []
    for token in (used, expired, "acv_" + "x" * 43, "nonsense", "a" * 200):
        with pytest.raises(Invalid) as caught:
            await people.verify(token)
        said.append((caught.value.reason, caught.value.message, caught.value.faults))
    assert set(said) == {said[0]}
    assert said[0][0] == "token_invalid"


async def test_a_token_works_until_a_day_has_passed(platform: Platform, people: People, email: str) -> None:
    await people.sign_up(email)
    token = await people.token(email)
    platform.clock.advance(timedelta(hours=23, minutes=59))
    assert (await people.verify(token)).email_verified


async def test_of_twenty_parallel_uses_of_a_token_one_succeeds(platform: Platform, people: People, email: str) -> None:
    await people.sign_up(email)
    token = await people.token(email)
    results = await asyncio.gather(*(people.verify(token) for _ in range(20)), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["Invalid"] * 19 + ["User"]
    [user] = [result for result in results if isinstance(result, User)]
    events = [type(event) for event in await platform.outbox("users", key=user.id)]
    assert events == [UserCreated, UserEmailVerified]


async def test_of_twenty_parallel_uses_of_a_pending_sign_ups_token_one_makes_an_account(
    platform: Platform, people: People, email: str
) -> None:
    await people.sign_up(email)
    await people.token(email)
    await people.sign_up(email, OTHER)
    token = await people.token(email, number=2)
    before = len(await platform.outbox("users"))
    results = await asyncio.gather(*(people.verify(token) for _ in range(20)), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["Invalid"] * 19 + ["User"]
    assert [type(event) for event in (await platform.outbox("users"))[before:]] == [UserCreated, UserEmailVerified]


async def test_of_two_tokens_of_an_address_used_at_once_one_wins(people: People, email: str) -> None:
    for number in range(5):
        address = f"{number}.{email}"
        await people.sign_up(address)
        first = await people.token(address)
        await people.sign_up(address, OTHER)
        second = await people.token(address, number=2)
        results = await asyncio.gather(people.verify(first), people.verify(second), return_exceptions=True)
        assert sorted(type(result).__name__ for result in results) == ["Invalid", "User"]
        winner = PASSWORD if isinstance(results[0], User) else OTHER
        assert await people.log_in(address, winner)
        with pytest.raises(Unauthenticated):
            await people.log_in(address, OTHER if winner == PASSWORD else PASSWORD)


async def test_whoever_proves_an_address_gets_it_with_a_fresh_account(
    platform: Platform, people: People, ann: Caller
) -> None:
    """Nobody can sign up with somebody else's address, wait for the owner to prove it, and share the account."""
    await people.sign_up(ann.email, OTHER, name="The owner")
    user = await people.verify(await people.token(ann.email, number=2))
    assert user.id != ann.id
    assert user.organization_id != ann.organization
    assert (user.email, user.email_verified, user.display_name) == (ann.email, True, "The owner")
    assert (await people.caller(ann.email, OTHER)).id == user.id


async def test_the_unproved_account_loses_address_password_and_sessions(
    platform: Platform, people: People, ann: Caller
) -> None:
    await people.log_in(ann.email)
    await people.sign_up(ann.email, OTHER)
    await people.verify(await people.token(ann.email, number=2))
    with pytest.raises(Unauthenticated) as wrong:
        await people.log_in(ann.email)
    assert wrong.value.reason == "invalid_credentials"
    with pytest.raises(Unauthenticated) as ended:
        await people.sessions.refresh_session(RefreshSessionRequest(refresh_token=ann.refresh_token))
    assert ended.value.reason == "invalid_refresh_token"
    stripped = await platform.stub(UsersStub, as_=ann).get_me(GetMeRequest())
    assert (stripped.id, stripped.email, stripped.email_verified) == (ann.id, "", False)
    assert (await platform.stub(SessionsStub, as_=ann).list_sessions(ListSessionsRequest())).sessions == []
    events = await platform.outbox("users", key=ann.id)
    assert [event.reason for event in events if isinstance(event, SessionRevoked)] == ["address_lost"] * 2


async def test_a_pending_sign_up_is_void_once_somebody_else_has_proved_the_address(people: People, ann: Caller) -> None:
    first = await people.token(ann.email)
    await people.sign_up(ann.email, OTHER)
    pending = await people.token(ann.email, number=2)
    await people.verify(first)
    with pytest.raises(Invalid) as caught:
        await people.verify(pending)
    assert caught.value.reason == "token_invalid"
    assert await people.log_in(ann.email)


async def test_the_first_sign_ups_token_is_void_once_a_pending_one_was_proved(people: People, ann: Caller) -> None:
    first = await people.token(ann.email)
    await people.sign_up(ann.email, OTHER)
    await people.verify(await people.token(ann.email, number=2))
    with pytest.raises(Invalid) as caught:
        await people.verify(first)
    assert caught.value.reason == "token_invalid"


# ---- one's own profile ---------------------------------------------------------------------------------------------


async def test_a_new_name_is_kept_and_moves_the_version(platform: Platform, ann: Caller) -> None:
    users = platform.stub(UsersStub, as_=ann)
    before = await users.get_me(GetMeRequest())
    platform.clock.advance(timedelta(seconds=1))
    after = await users.update_me(
        UpdateMeRequest(display_name="Ann of Cleves", update_mask=FieldMask(paths=["display_name"]))
    )
    assert (after.display_name, after.version) == ("Ann of Cleves", before.version + 1)
    assert after == await users.get_me(GetMeRequest())
    assert (await platform.outbox("users", key=ann.id))[-1] == UserUpdated(
        user_id=ann.id, version=after.version, updated_at=after.updated_at
    )


async def test_an_update_for_another_version_changes_nothing(platform: Platform, ann: Caller) -> None:
    users = platform.stub(UsersStub, as_=ann)
    before = await users.get_me(GetMeRequest())
    for mask in (["display_name"], []):
        with pytest.raises(Stale):
            await users.update_me(
                UpdateMeRequest(
                    display_name="New", if_match=before.version + 1, update_mask=FieldMask(paths=list(mask))
                )
            )
    assert await users.get_me(GetMeRequest()) == before
    changed = await users.update_me(
        UpdateMeRequest(display_name="New", if_match=before.version, update_mask=FieldMask(paths=["display_name"]))
    )
    assert changed.version == before.version + 1


async def test_an_update_without_fields_changes_nothing(platform: Platform, ann: Caller) -> None:
    users = platform.stub(UsersStub, as_=ann)
    before = await users.get_me(GetMeRequest())
    assert await users.update_me(UpdateMeRequest(update_mask=FieldMask())) == before


@pytest.mark.parametrize("path", ["email", "version", "nonsense"])
async def test_what_is_not_of_the_profile_cannot_be_set(platform: Platform, ann: Caller, path: str) -> None:
    with pytest.raises(Invalid):
        await platform.stub(UsersStub, as_=ann).update_me(UpdateMeRequest(update_mask=FieldMask(paths=[path])))


async def test_methods_that_are_not_public_refuse_nobody_and_a_token_that_does_not_cover_them(
    platform: Platform,
) -> None:
    narrow = platform.somebody(scopes={"projects.read"})
    for caller, error in ((None, Unauthenticated), (narrow, Denied)):
        users = platform.stub(UsersStub, as_=caller)
        sessions, organizations = platform.stub(SessionsStub, as_=caller), platform.stub(OrganizationsStub, as_=caller)
        for call in (
            users.get_me(GetMeRequest()),
            users.update_me(UpdateMeRequest(update_mask=FieldMask())),
            sessions.list_sessions(ListSessionsRequest()),
            organizations.list_organizations(ListOrganizationsRequest()),
        ):
            with pytest.raises(error):
                await call


# ---- organisations -------------------------------------------------------------------------------------------------


async def test_everybody_has_a_personal_organisation_in_its_region(platform: Platform, ann: Caller) -> None:
    reply = await platform.stub(OrganizationsStub, as_=ann).list_organizations(ListOrganizationsRequest())
    [own] = reply.organizations
    assert (own.id, own.role, own.personal, own.region) == (ann.organization, "owner", True, "local")
    assert reply.next_page_token == ""


async def test_a_page_token_of_organisations_that_was_altered_is_refused(platform: Platform, ann: Caller) -> None:
    with pytest.raises(Malformed):
        await platform.stub(OrganizationsStub, as_=ann).list_organizations(ListOrganizationsRequest(page_token="AAAA"))
