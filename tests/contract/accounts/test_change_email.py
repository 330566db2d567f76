"""Another address, and back."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from acme.contracts.authority.v1 import AuthorityStub, ChangesRequest
from acme.contracts.users.v1 import ChangeEmailReply, ChangeEmailRequest, GetMeRequest, UserEmailChanged, UsersStub
from acme.errors import Invalid
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
    mailed,
    reset,
    reset_token,
    token_refused,
    told,
    undo,
)
from tests.people import OTHER, People, new_email

pytestmark = pytest.mark.every_placement


@pytest.fixture
def account(people: People, ann: Caller) -> Account:
    return Account(people, ann)


@pytest.fixture
def new() -> str:
    return new_email()


async def changes(platform: Platform, user_id: str) -> list[bool]:
    """Whether each change of an account's address was one that undid another, oldest first."""
    events = await platform.outbox("users", key=user_id)
    return [event.undone for event in events if isinstance(event, UserEmailChanged)]


# ---- asking --------------------------------------------------------------------------------------------------------


async def test_nothing_moves_before_the_new_address_is_proved(
    platform: Platform, people: People, account: Account, new: str
) -> None:
    await account.change_email(new)
    await told(platform, new, "Confirm your new e-mail address")
    assert (await account.users.get_me(GetMeRequest())).email == account.caller.email
    await cannot_log_in(people, new, PASSWORD)


async def test_the_old_address_is_warned_at_once_and_not_told_where_to(
    platform: Platform, account: Account, new: str
) -> None:
    await account.change_email(new)
    warning = await told(platform, account.caller.email, "Your account is about to move to another address")
    assert new not in warning.text


async def test_the_answer_is_the_same_for_an_address_that_belongs_to_somebody(
    platform: Platform, people: People, account: Account, new: str
) -> None:
    await people.verified(taken := new_email())
    for number, address in ((1, new), (2, taken)):
        assert await account.users.change_email(ChangeEmailRequest(new_email=address)) == ChangeEmailReply()
        await platform.mailbox.wait(address, number=number)
    mail = await platform.mailbox.wait(taken, number=2)
    assert (mail.subject, mail.links) == ("This address belongs to an account", ())


@pytest.mark.parametrize("spelling", [str, str.upper])
async def test_the_own_address_is_no_other(account: Account, spelling: type[str]) -> None:
    with pytest.raises(Invalid) as caught:
        await account.change_email(spelling(account.caller.email))
    assert [(fault.pointer, fault.code) for fault in caught.value.faults] == [("/new_email", "unchanged")]


async def test_what_is_no_address_is_refused(account: Account) -> None:
    with pytest.raises(Invalid) as caught:
        await account.change_email("nobody")
    assert [fault.pointer for fault in caught.value.faults] == ["/new_email"]


# ---- confirming ----------------------------------------------------------------------------------------------------


async def test_the_account_moves_with_the_token_from_the_new_mailbox(
    platform: Platform, people: People, account: Account, new: str
) -> None:
    before = await account.users.get_me(GetMeRequest())
    user = await account.move(new)
    assert (user.id, user.email, user.email_verified, user.version) == (before.id, new, True, before.version + 1)
    assert await people.log_in(new)
    await cannot_log_in(people, account.caller.email, PASSWORD)
    assert await people.refresh(account.caller.refresh_token)
    assert await changes(platform, user.id) == [False]


async def test_the_old_address_is_told_with_a_link_that_undoes_it(
    platform: Platform, account: Account, people: People, new: str
) -> None:
    await account.move(new)
    mail = await told(platform, account.caller.email, "Your account was moved to another address")
    assert mail.links == (
        f"https://acme.test/undo-email-change?token={await mailed(people, account.caller.email, 'undo-email-change')}",
    )
    assert new not in mail.text


async def test_a_token_works_once_and_for_a_day(platform: Platform, people: People, account: Account, new: str) -> None:
    await account.change_email(new)
    late = await people.token(new)
    platform.clock.advance(timedelta(hours=24, seconds=1))
    assert (await token_refused(confirm(people, late)))[0] == "token_invalid"
    await Account(people, await people.caller(account.caller.email)).change_email(new)
    token = await mailed(people, new, "confirm-email", number=2)
    await confirm(people, token)
    assert (await token_refused(confirm(people, token)))[0] == "token_invalid"


async def test_of_ten_parallel_uses_of_a_token_one_moves_the_account(
    platform: Platform, people: People, account: Account, new: str
) -> None:
    await account.change_email(new)
    token = await people.token(new)
    results = await asyncio.gather(*(confirm(people, token) for _ in range(10)), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["Invalid"] * 9 + ["User"]
    assert await changes(platform, account.caller.id) == [False]


async def test_a_move_voids_every_other_token_in_a_mail(people: People, account: Account, new: str) -> None:
    other = new_email()
    await account.change_email(other)
    elsewhere = await people.token(other)
    token = await reset_token(people, account.caller.email)
    await account.move(new)
    assert (await token_refused(confirm(people, elsewhere)))[0] == "token_invalid"
    assert (await token_refused(reset(people, token)))[0] == "token_invalid"


async def test_an_address_that_somebody_proved_meanwhile_stays_theirs(
    people: People, account: Account, new: str
) -> None:
    await account.change_email(new)
    token = await people.token(new)
    await people.sign_up(new, OTHER)
    await people.verify(await mailed(people, new, "verify-email"))
    assert (await token_refused(confirm(people, token)))[0] == "token_invalid"
    assert await people.log_in(new, OTHER)


async def test_of_two_accounts_that_move_to_one_address_the_first_gets_it(
    people: People, account: Account, new: str
) -> None:
    await people.verified(bobs := new_email())
    bob = Account(people, await people.caller(bobs))
    await account.change_email(new)
    anns_token = await people.token(new)
    await bob.change_email(new)
    bobs_token = await mailed(people, new, "confirm-email", number=2)
    results = await asyncio.gather(confirm(people, anns_token), confirm(people, bobs_token), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["Invalid", "User"]


async def test_whoever_had_signed_up_with_the_address_and_not_proved_it_loses_it(
    platform: Platform, people: People, account: Account, new: str
) -> None:
    await people.sign_up(new, OTHER)
    squatter = await people.caller(new, OTHER)
    await people.sign_up(new, THIRD)
    pending = await mailed(people, new, "verify-email", number=2)
    user = await account.move(new)
    assert (user.id, user.email) == (account.caller.id, new)
    await cannot_refresh(people, squatter.refresh_token)
    for password in (OTHER, THIRD):
        await cannot_log_in(people, new, password)
    assert (await token_refused(people.verify(pending)))[0] == "token_invalid"
    assert (await platform.stub(UsersStub, as_=squatter).get_me(GetMeRequest())).email == ""
    change = (await platform.stub(AuthorityStub, as_service="tokens").changes(ChangesRequest())).changes[-1]
    assert (change.subject, change.epoch) == (squatter.id, 1)


async def test_an_address_that_was_never_proved_is_left_without_a_word(
    platform: Platform, people: People, email: str, new: str
) -> None:
    """It may be a stranger's: a link that undoes would give the account away."""
    await people.sign_up(email)
    first = await people.token(email)
    user = await Account(people, await people.caller(email)).move(new)
    assert (user.email, user.email_verified) == (new, True)
    assert (await token_refused(people.verify(first)))[0] == "token_invalid"
    await people.sign_up(email, OTHER)
    await people.verify(await mailed(people, email, "verify-email", number=2))
    assert [mail.subject for mail in platform.mailbox.list(email)] == ["Confirm your e-mail address"] * 2


# ---- undoing -------------------------------------------------------------------------------------------------------


async def test_undoing_gives_the_account_back_and_ends_all_access(
    platform: Platform, people: People, account: Account, new: str
) -> None:
    old = account.caller.email
    await account.move(new)
    token = await mailed(people, old, "undo-email-change")
    thief = await people.caller(new)
    await undo(people, token)
    for refresh_token in (account.caller.refresh_token, thief.refresh_token):
        await cannot_refresh(people, refresh_token)
    assert {reason for _, reason in await ended(platform, thief.id)} == {"email_change_undone"}
    for address in (old, new):
        await cannot_log_in(people, address, PASSWORD)
    change = (await platform.stub(AuthorityStub, as_service="tokens").changes(ChangesRequest())).changes[-1]
    assert (change.subject, change.epoch) == (thief.id, 1)
    assert await changes(platform, thief.id) == [False, True]
    await told(platform, new, "Your account went back to its former address")


async def test_a_mail_to_set_another_password_follows(people: People, account: Account, new: str) -> None:
    old = account.caller.email
    await account.move(new)
    await undo(people, await mailed(people, old, "undo-email-change"))
    await reset(people, await mailed(people, old, "reset-password"), THIRD)
    assert (await people.caller(old, THIRD)).id == account.caller.id


async def test_it_can_be_undone_for_seven_days_and_once(
    platform: Platform, people: People, account: Account, new: str
) -> None:
    old = account.caller.email
    await account.move(new)
    token = await mailed(people, old, "undo-email-change")
    platform.clock.advance(timedelta(days=6, hours=23))
    await undo(people, token)
    assert (await token_refused(undo(people, token)))[0] == "token_invalid"


async def test_after_seven_days_the_address_is_free(
    platform: Platform, people: People, account: Account, new: str
) -> None:
    old = account.caller.email
    await account.move(new)
    token = await mailed(people, old, "undo-email-change")
    platform.clock.advance(timedelta(days=7, seconds=1))
    assert (await token_refused(undo(people, token)))[0] == "token_invalid"
    await people.sign_up(old, OTHER)
    assert (await people.verify(await mailed(people, old, "verify-email", number=2))).id != account.caller.id


async def test_a_thief_who_sets_another_password_and_moves_on_stops_no_undo(
    people: People, account: Account, new: str
) -> None:
    old, second = account.caller.email, new_email()
    await account.move(new)
    token = await mailed(people, old, "undo-email-change")
    await account.change_password()
    await reset(people, await reset_token(people, new), THIRD)
    thief = Account(people, await people.caller(new, THIRD))
    await thief.move(second)
    thiefs_token = await mailed(people, new, "undo-email-change")
    await undo(people, token)
    assert (await token_refused(undo(people, thiefs_token)))[0] == "token_invalid"
    await reset(people, await mailed(people, old, "reset-password"), "the owner is back again")
    assert (await people.caller(old, "the owner is back again")).id == account.caller.id


async def test_the_old_address_keeps_its_claim_while_it_can_undo(
    platform: Platform, people: People, account: Account, new: str
) -> None:
    old = account.caller.email
    await account.move(new)
    token = await mailed(people, old, "undo-email-change")
    await people.sign_up(old, OTHER)
    await told(platform, old, "This address had an account until a few days ago")
    await people.verified(bobs := new_email())
    await Account(people, await people.caller(bobs)).change_email(old)
    await told(platform, old, "This address belongs to an account")
    await undo(people, token)
    await reset(people, await mailed(people, old, "reset-password"))
    assert (await people.caller(old, OTHER)).id == account.caller.id


async def test_the_owner_may_move_back_by_hand(people: People, account: Account, new: str) -> None:
    old = account.caller.email
    await account.move(new)
    token = await mailed(people, old, "undo-email-change")
    assert (await account.move(old)).email == old
    assert (await token_refused(undo(people, token)))[0] == "token_invalid"
