"""People for tests of the users services: they sign up, read their mail and log in, as anybody may."""

from __future__ import annotations

import secrets
from typing import Final
from urllib.parse import parse_qs, urlsplit

from acme.contracts.users.v1 import (
    CreateSessionRequest,
    CreateUserReply,
    CreateUserRequest,
    RefreshSessionRequest,
    SessionsStub,
    SessionTokens,
    User,
    UsersStub,
    VerifyEmailRequest,
)
from acme.testing import Platform
from acme.testing import User as Caller
from acme.testing.people import PASSWORD, principal_of

OTHER: Final = "another correct horse battery"
"""A password that is not `PASSWORD`."""


def new_email() -> str:
    """An address that nobody has."""
    return f"ann.{secrets.token_hex(6)}@example.com"


class People:
    """Signs people up and logs them in, as anybody may."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.users = platform.stub(UsersStub)
        self.sessions = platform.stub(SessionsStub)

    async def sign_up(self, email: str, password: str = PASSWORD, name: str = "Ann") -> CreateUserReply:
        return await self.users.create_user(CreateUserRequest(email=email, password=password, display_name=name))

    async def token(self, email: str, *, number: int = 1) -> str:
        """The token in the newest mail to an address, once there are `number` mails."""
        mail = await self.platform.mailbox.wait(email, number=number)
        return parse_qs(urlsplit(mail.links[0]).query)["token"][0]

    async def verify(self, token: str) -> User:
        return await self.users.verify_email(VerifyEmailRequest(token=token))

    async def log_in(self, email: str, password: str = PASSWORD) -> SessionTokens:
        return await self.sessions.create_session(CreateSessionRequest(email=email, password=password))

    async def verified(self, email: str, password: str = PASSWORD) -> User:
        await self.sign_up(email, password)
        return await self.verify(await self.token(email))

    async def refresh(self, refresh_token: str) -> SessionTokens:
        return await self.sessions.refresh_session(RefreshSessionRequest(refresh_token=refresh_token))

    async def caller(self, email: str, password: str = PASSWORD) -> Caller:
        tokens = await self.log_in(email, password)
        return Caller(principal_of(tokens.access_token), email, password, tokens.access_token, tokens.refresh_token)
