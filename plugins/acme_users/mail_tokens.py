"""Tokens in mails: 256 random bits, stored as a digest, good once, for one purpose, account and address."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final, NoReturn

from acme import Fault, Invalid
from acme_users.addresses import Address
from acme_users.store import MailToken, MailTokenStore, Purpose

LIVES: Final[Mapping[Purpose, timedelta]] = MappingProxyType(
    {
        Purpose.RESET_PASSWORD: timedelta(hours=1),
        Purpose.CHANGE_EMAIL: timedelta(hours=24),
        Purpose.UNDO_EMAIL_CHANGE: timedelta(days=7),
    }
)
"""For so long each is good."""

_PREFIX: Final = "acm_"  # it makes leaked tokens recognisable; the secret comes after it


class MailTokens:
    """Makes tokens and recognises them."""

    def __init__(self, store: MailTokenStore) -> None:
        self._store = store

    async def issue(self, purpose: Purpose, user_id: str | None, address: Address, *, now: datetime) -> str:
        """A new token; for nobody it is good for nothing, and only costs as much as another."""
        token = new_token(_PREFIX)
        await self._store.add(MailToken(digest(token), purpose, user_id, address, now + LIVES[purpose]))
        return token

    async def find(self, token: str, purpose: Purpose, *, now: datetime) -> tuple[str, MailToken]:
        """Whose token it is, and the token.

        Raises:
            Invalid: it is not good for this.
        """
        found = await self._store.find(digest(token), purpose, at=now)
        if found is None or found.user_id is None:
            void()
        return found.user_id, found

    async def use(self, token: MailToken) -> None:
        """Raises `Invalid` when somebody else was faster. The account is locked before, so that locks keep their order."""
        if not await self._store.consume(token.digest):
            void()


def new_token(prefix: str) -> str:
    """43 characters of base64url after the prefix."""
    return prefix + secrets.token_urlsafe(32)


def digest(token: str) -> bytes:
    """What is stored of a token. 256 random bits need no salt and no slow hash."""
    return hashlib.sha256(token.encode()).digest()


def void() -> NoReturn:
    """One answer for every token that is good for nothing: the reason would tell of other people's accounts."""
    message = "The token is unknown, used or expired: ask for another one."
    raise Invalid(message, reason="token_invalid", faults=[Fault("/token", "token_invalid", message)])
