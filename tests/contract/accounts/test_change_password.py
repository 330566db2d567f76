"""Another password, by somebody who knows the old one."""

from __future__ import annotations

import pytest

from acme.contracts.authority.v1 import AuthorityStub, ChangesRequest
from acme.contracts.users.v1 import ChangePasswordRequest, CreateUserRequest, UserPasswordChanged, UsersStub
from acme.errors import Denied, Invalid
from acme.testing import Platform
from acme.testing import User as Caller
from acme.testing.people import PASSWORD
from tests.accounts import (
    THIRD,
    Account,
    cannot_log_in,
    cannot_refresh,
    confirm,
    ended,
    reset,
    reset_token,
    token_refused,
    told,
)
from tests.people import OTHER, People, new_email

pytestmark = pytest.mark.every_placement


async def test_the_new_password_works_and_the_old_one_does_not(people: People, ann: Caller) -> None:
    await Account(people, ann).change_password()
    await cannot_log_in(people, ann.email, PASSWORD)
    assert await people.log_in(ann.email, OTHER)


async def test_every_other_session_ends_and_verifiers_are_told(platform: Platform, people: People, ann: Caller) -> None:
    other = await people.log_in(ann.email)
    await Account(people, ann).change_password()
    await cannot_refresh(people, other.refresh_token)
    assert await people.refresh(ann.refresh_token)
    assert await ended(platform, ann.id) == [(other.session_id, "password_changed")]
    changes_told = (await platform.stub(AuthorityStub, as_service="tokens").changes(ChangesRequest())).changes
    assert [change.session_id for change in changes_told if change.session_id][-1:] == [other.session_id]


async def test_the_address_and_listeners_are_told(platform: Platform, people: People, ann: Caller) -> None:
    await Account(people, ann).change_password()
    await told(platform, ann.email, "Your password was changed")
    [event] = [event for event in await platform.outbox("users", key=ann.id) if isinstance(event, UserPasswordChanged)]
    assert (event.user_id, event.reset) == (ann.id, False)


async def test_a_wrong_password_changes_nothing(platform: Platform, people: People, ann: Caller) -> None:
    with pytest.raises(Denied) as caught:
        await Account(people, ann).change_password(current=OTHER, new=THIRD)
    assert caught.value.reason == "invalid_credentials"
    assert await people.log_in(ann.email)
    assert len(platform.mailbox.list(ann.email)) == 1


async def test_it_voids_a_reset_and_a_move_that_were_asked_for_before(people: People, ann: Caller) -> None:
    account, new = Account(people, ann), new_email()
    token = await reset_token(people, ann.email)
    await account.change_email(new)
    move = await people.token(new)
    await account.change_password()
    assert (await token_refused(reset(people, token, THIRD)))[0] == "token_invalid"
    assert (await token_refused(confirm(people, move)))[0] == "token_invalid"


# ---- which passwords may be chosen ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("14 characters!", "min_length"),
        ("\ufdfa" * 100, "max_bytes"),
        ("correcthorsebatterystaple", "common_password"),
        ("CorrectHorseBatteryStaple", "common_password"),
        ("\uff30asswordPassword", "common_password"),  # a fullwidth P
        ("aaaaaaaaaaaaaaaaaaaa", "trivial_password"),
        ("1234567890123456", "trivial_password"),
        ("abcabcabcabcabcabc", "trivial_password"),
        ("EMAIL", "personal_password"),
        ("Margarethe2024!!", "personal_password"),
        ("acme.test/2024/11", "personal_password"),
    ],
)
async def test_a_password_that_is_easily_guessed_is_refused_with_the_reason(
    people: People, email: str, password: str, code: str
) -> None:
    password = password.replace("EMAIL", email)
    request = CreateUserRequest(email=email, password=password, display_name="Margarethe Lee")
    with pytest.raises(Invalid) as caught:
        await people.users.create_user(request)
    [fault] = caught.value.faults
    assert (fault.pointer, fault.code) == ("/password", code)
    assert password not in fault.message


async def test_the_rules_hold_wherever_a_password_is_chosen(platform: Platform, people: People, ann: Caller) -> None:
    token = await reset_token(people, ann.email)
    for attempt in (Account(people, ann).change_password(new=ann.email), reset(people, token, ann.email)):
        with pytest.raises(Invalid) as caught:
            await attempt
        assert [(fault.pointer, fault.code) for fault in caught.value.faults] == [
            ("/new_password", "personal_password")
        ]
    await reset(people, token)  # it was not used up


async def test_nobody_changes_a_password_without_a_token_that_covers_it(platform: Platform) -> None:
    narrow = platform.somebody(scopes={"users.me.read"})
    with pytest.raises(Denied):
        await platform.stub(UsersStub, as_=narrow).change_password(
            ChangePasswordRequest(current_password=PASSWORD, new_password=OTHER)
        )
