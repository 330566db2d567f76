"""What people do to their accounts, by contract."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final

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
        """Asks, and confirms with the newest token in the new mailbox."""
        before = len(self.platform.mailbox.list(new_email))
        await self.change_email(new_email)
        return await confirm(self.people, await self.people.token(new_email, number=before + 1))


async def request_reset(people: People, email: str) -> None:
    await people.users.request_password_reset(RequestPasswordResetRequest(email=email))


async def reset_token(people: People, email: str) -> str:
    """Asks for a reset, and returns the token of the mail."""
    before = len(people.platform.mailbox.list(email))
    await request_reset(people, email)
    return await people.token(email, number=before + 1)


async def reset(people: People, token: str, password: str = OTHER) -> None:
    await people.users.reset_password(ResetPasswordRequest(token=token, new_password=password))


async def confirm(people: People, token: str) -> User:
    return await people.users.confirm_email_change(ConfirmEmailChangeRequest(token=token))


async def undo(people: People, token: str) -> None:
    await people.users.undo_email_change(UndoEmailChangeRequest(token=token))


async def subject(platform: Platform, email: str, number: int) -> str:
    """Of the newest mail to an address, once there are `number`."""
    return (await platform.mailbox.wait(email, number=number)).subject


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
