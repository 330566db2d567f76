"""Access tokens for programs: made, shown once, listed and revoked, whosesoever they are.

A token is "acp_" (personal) or "acs_" (of a service account) and 256 random bits; only its SHA-256 digest is kept. Its
scopes are permissions, "*" for all, or "read" for all that only read: as they were asked for, since what "read" stands for
is up to the contracts of the day. Whoever makes one hands on no more than its own token covers.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from acme import Clock, Conflict, Denied, Fault, Invalid, NotFound, Pages, authorise, current, events, new_id, page_size
from acme.contracts.users.v1 import ListTokensReply, NewToken, TokenCreated, TokenRevoked
from acme.contracts.users.v1 import Token as TokenMessage
from acme_users.store import NEWEST, AccessToken, AuthorityStore, TokenStore

MOST: Final = 100
"""Living tokens of a user or a service account; one more is refused (409)."""
ALL: Final = "*"
READ: Final = "read"
PERSONAL: Final = "acp_"
"""What a personal token begins with: leaked ones are recognisable."""
PROGRAM: Final = "acs_"
"""What a service account's token begins with."""


class Minting:
    """What personal tokens and those of service accounts have in common. Decides nothing: its callers ask `authorise`."""

    def __init__(self, store: TokenStore, authority: AuthorityStore, clock: Clock, pages: Pages) -> None:
        self._store, self._authority, self._clock, self._pages = store, authority, clock, pages

    async def make(self, subject: str, prefix: str, name: str, scopes: Iterable[str], days: int) -> NewToken:
        """A token of a subject for which nobody else makes one before the transaction ends.

        Raises:
            Invalid: there is no such permission.
            Denied: the caller's token does not cover a scope.
            Conflict: the subject has `MOST` tokens.
        """
        wanted = _checked(scopes)
        now = self._clock.now()
        if await self._store.count(subject, at=now) >= MOST:
            raise Conflict(f"There are {MOST} tokens: delete one first.", reason="too_many_tokens")
        secret = prefix + secrets.token_urlsafe(32)
        token = AccessToken(
            id=new_id("pat", self._clock),
            subject=subject,
            digest=digest(secret),
            name=name,
            scopes=wanted,
            created_at=now,
            expires_at=now + timedelta(days=days),
        )
        await self._store.add(token)
        events.add(TokenCreated(subject=subject, token_id=token.id, created_at=now))
        return NewToken(token=_message(token), secret=secret)

    async def page(self, subject: str, size: int, page_token: str) -> ListTokensReply:
        """Raises `Malformed` for a page token that was altered, or made for another list."""
        before = self._pages.open(page_token, subject) or NEWEST
        size = page_size(size)
        rows = await self._store.tokens(subject, before=before, at=self._clock.now(), limit=size + 1)
        token = self._pages.seal(rows[size - 1].id, subject) if len(rows) > size else ""
        return ListTokensReply(tokens=[_message(row) for row in rows[:size]], next_page_token=token)

    async def revoke(self, subject: str, token_id: str) -> None:
        """Revokes a token of the subject; one that was revoked before stays so. Last in its transaction.

        Raises:
            NotFound: the subject has no such token.
        """
        now = self._clock.now()
        alive = await self._store.revoke(subject, token_id, at=now)
        if alive is None:
            raise NotFound("There is no such token, or it is not yours.")
        if alive:
            events.add(TokenRevoked(subject=subject, token_id=token_id, revoked_at=now))
            await self._authority.announce(session_id=token_id, at=now)


async def revoke_tokens(tokens: TokenStore, authority: AuthorityStore, subject: str, *, at: datetime) -> int:
    """Revokes every token of a user or a service account and announces it; returns how many it were.

    Inside a unit of work, and last in it: it takes the lock that everybody who announces has to pass.
    """
    ended = await tokens.revoke_all(subject, at=at)
    for token_id in ended:
        events.add(TokenRevoked(subject=subject, token_id=token_id, revoked_at=at))
    await authority.announce_ended(ended, at=at)
    return len(ended)


def digest(secret: str) -> bytes:
    """What is kept of a token. 256 random bits need no salt and no slow hash."""
    return hashlib.sha256(secret.encode()).digest()


def _checked(scopes: Iterable[str]) -> tuple[str, ...]:
    """Sorted, each once."""
    wanted, known = sorted(set(scopes)), authorise.role("owner") | {ALL, READ}
    if unknown := [scope for scope in wanted if scope not in known]:
        faults = [Fault("/scopes", "unknown_permission", f"there is no permission {scope}") for scope in unknown]
        raise Invalid("Scopes are permissions by name, * for all, or read for all that only read.", faults=faults)
    principal = current().principal
    held = principal.scopes
    for scope in wanted:
        if not (ALL in held or scope in held):
            raise Denied(f"Your own token does not cover {scope}, so you cannot hand it on.", reason="scope_above_own")
    return tuple(wanted)


def _message(token: AccessToken) -> TokenMessage:
    return TokenMessage(
        id=token.id,
        name=token.name,
        scopes=list(token.scopes),
        created_at=token.created_at,
        expires_at=token.expires_at,
        last_used_at=token.last_used_at,
    )
