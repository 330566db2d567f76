"""The mails about getting into an account, as they arrive."""

from __future__ import annotations

import re
import shlex
from datetime import timedelta

import pytest

from acme.drivers.mailbox import KeptMail
from acme.testing import Platform
from acme.testing import User as Caller
from tests.accounts import Account, mailed, request_reset, reset, reset_token, told, undo
from tests.people import OTHER, People, new_email


@pytest.fixture
async def mails(platform: Platform, people: People) -> list[KeptMail]:
    """One of each."""
    await people.sign_up(email := new_email(), name="Win at evil.example")
    await people.verify(await people.token(email))
    new, nobody = new_email(), new_email()
    ann = Account(people, await people.caller(email))
    await request_reset(people, nobody)
    await ann.change_password()
    await reset(people, await reset_token(people, email))
    await people.verified(taken := new_email())
    ann = Account(people, await people.caller(email, OTHER))
    await ann.change_email(taken)
    await ann.move(new)
    await people.sign_up(email)
    await told(platform, email, "This address had an account until a few days ago")
    await undo(people, await mailed(people, email, "undo-email-change"))
    await told(platform, new, "Your account went back to its former address")
    await told(platform, taken, "This address belongs to an account")
    await told(platform, email, "Set another password", number=2)
    for subject in ("was changed", "was set anew"):
        await told(platform, email, f"Your password {subject}")
    await told(platform, email, "Your account is about to move to another address")
    await told(platform, nobody, "There is no account with this address")
    return [mail for address in (email, new, nobody, taken) for mail in platform.mailbox.list(address)]


async def test_nothing_in_them_was_typed_by_whoever_caused_them_and_links_have_the_configured_origin(
    mails: list[KeptMail],
) -> None:
    about = {mail.subject for mail in mails if mail.subject != "Confirm your e-mail address"}
    assert len(about) == 10
    for mail in mails:
        assert "evil" not in mail.subject + mail.text
        assert "@" not in mail.subject + mail.text
        origins = {
            re.sub(r"(https?://[^/\s]+).*", r"\1", url).rstrip(".") for url in re.findall(r"https?://\S+", mail.text)
        }
        assert origins <= {"https://acme.test"}
        assert all(link.startswith("https://acme.test/") for link in mail.links)


async def test_the_command_in_a_mail_with_a_token_is_one_that_a_shell_reads(mails: list[KeptMail]) -> None:
    commands = []
    for mail in mails:
        if "curl" in mail.text:
            command = shlex.split(mail.text[mail.text.index("curl") :].split("\n\n")[0].replace("\\\n", " "))
            assert command[:3] == ["curl", "-X", "POST"]
            commands.append(command[3].removeprefix("https://acme.test/v1/users:"))
    assert set(commands) == {"verifyEmail", "resetPassword", "confirmEmailChange", "undoEmailChange"}


async def test_a_warning_gives_nothing_to_act_with(platform: Platform, people: People, ann: Caller) -> None:
    await Account(people, ann).change_email(new_email())
    warning = await told(platform, ann.email, "Your account is about to move to another address")
    assert warning.links == ()
    assert "acm_" not in warning.text
    platform.clock.advance(timedelta(seconds=1))
