"""What people do to their accounts, by contract."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import parse_qs, urlsplit

import pytest

from acme.contracts.users.v1 import (
    ChangeEmailRequest,
    ChangePasswordRequest,
    ConfirmEmailChangeRequest,
    RequestPasswordResetRequest,
    ResetPasswordRequest,
    SessionRevoked,
    UndoEmailChangeRequest,
    User,
    UsersStub,
)
from acme.drivers.mailbox import KeptMail
from acme.errors import Invalid, Unauthenticated
from acme.testing import Platform
from acme.testing import User as Caller
from acme.testing.people import PASSWORD
from tests.people import OTHER, People

THIRD: Final = "a third correct horse battery"
"""A password that is neither `PASSWORD` nor `OTHER`."""


class Account:
    """Somebody's account, in the hands of whoever calls."""

    def __init__(self, people: People, caller: Caller) -> None:
        self.people, self.caller, self.platform = people, caller, people.platform
        self.users = self.platform.stub(UsersStub, as_=caller)

    async def change_password(self, current: str = PASSWORD, new: str = OTHER) -> None:
        await self.users.change_password(ChangePasswordRequest(current_password=current, new_password=new))

    async def change_email(self, new_email: str) -> None:
        await self.users.change_email(ChangeEmailRequest(new_email=new_email))

    async def move(self, new_email: str) -> User:
        """Asks for the first time, and confirms with the token in the new mailbox."""
        await self.change_email(new_email)
        return await confirm(self.people, await mailed(self.people, new_email, "confirm-email"))


async def told(platform: Platform, email: str, subject: str, *, number: int = 1) -> KeptMail:
    """The newest mail of that subject to an address, once there are `number`: mails come in any order."""
    return await _found(platform, email, lambda mail: mail.subject == subject, number)


async def mailed(people: People, email: str, page: str, *, number: int = 1) -> str:
    """The token in the newest link to a page, once there are `number` mails with one."""
    mail = await _found(people.platform, email, lambda mail: any(f"/{page}?" in link for link in mail.links), number)
    return parse_qs(urlsplit(mail.links[0]).query)["token"][0]


async def _found(platform: Platform, email: str, wanted: Callable[[KeptMail], bool], number: int) -> KeptMail:
    while True:
        mails = platform.mailbox.list(email)
        if len(found := [mail for mail in mails if wanted(mail)]) >= number:
            return found[0]
        await platform.mailbox.wait(email, number=len(mails) + 1)


def resets(platform: Platform, email: str) -> int:
    """How many mails with a token to set another password an address got so far."""
    return sum("/reset-password?" in link for mail in platform.mailbox.list(email) for link in mail.links)


async def request_reset(people: People, email: str) -> None:
    await people.users.request_password_reset(RequestPasswordResetRequest(email=email))


async def reset_token(people: People, email: str) -> str:
    """Asks for a reset, and returns the token of the mail."""
    before = resets(people.platform, email)
    await request_reset(people, email)
    return await mailed(people, email, "reset-password", number=before + 1)


async def reset(people: People, token: str, password: str = OTHER) -> None:
    await people.users.reset_password(ResetPasswordRequest(token=token, new_password=password))


async def confirm(people: People, token: str) -> User:
    return await people.users.confirm_email_change(ConfirmEmailChangeRequest(token=token))


async def undo(people: People, token: str) -> None:
    await people.users.undo_email_change(UndoEmailChangeRequest(token=token))


async def ended(platform: Platform, user_id: str) -> list[tuple[str, str]]:
    """(session, reason) of the sessions of a user that ended before their time, oldest first."""
    events = await platform.outbox("users", key=user_id)
    return [(event.session_id, event.reason) for event in events if isinstance(event, SessionRevoked)]


async def cannot_log_in(people: People, email: str, password: str) -> None:
    with pytest.raises(Unauthenticated) as caught:
        await people.log_in(email, password)
    assert caught.value.reason == "invalid_credentials"


async def cannot_refresh(people: People, refresh_token: str) -> None:
    with pytest.raises(Unauthenticated) as caught:
        await people.refresh(refresh_token)
    assert caught.value.reason == "invalid_refresh_token"


async def token_refused(action: Awaitable[object]) -> tuple[str, str]:
    """(reason, message) of the refusal of a token from a mail."""
    with pytest.raises(Invalid) as caught:
        await action
    assert [fault.pointer for fault in caught.value.faults] == ["/token"]
    return caught.value.reason, caught.value.message
