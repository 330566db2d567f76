"""Opaque access tokens: the authority says whom they stand for.

A made-up token costs a question to the authority. Against a flood of them: its answer is remembered for `UNKNOWN_FOR`
seconds, `AT_A_TIME` tokens that were never good are asked about at a time, and when `WAITING` more wait for their turn, the
next one is told to come again. Tokens that were good a minute ago wait for none of these.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Container
from collections.abc import Set as AbstractSet
from typing import Final

from acme.context import Kind, Principal
from acme.contracts.authority.v1 import AuthorityStub, IntrospectReply, IntrospectRequest
from acme.errors import Refused, Unauthenticated, Unavailable
from acme.telemetry import logger
from acme.tokens.flights import Flights
from acme.tokens.grants import Grants
from acme.tokens.revocations import Revocations
from acme.tokens.settings import ASK_TIMEOUT

log: Final = logger(__name__)

KEPT: Final = 60.0
"""Seconds for which an answer is kept; less when the token expires before, or is revoked."""
UNKNOWN_FOR: Final = 5.0
"""Seconds for which a token that the authority does not know is refused without asking again."""
UNKNOWN: Final = 10_000
"""Such tokens remembered; the oldest goes when one more comes."""
AT_A_TIME: Final = 16
"""Questions about new tokens on their way."""
WAITING: Final = 256
"""Requests that wait for one."""

READ: Final = "read"
"""Scope: everything that only reads."""

_SHAPE: Final = re.compile(r"ac[ps]_[A-Za-z0-9_-]{43}")


def is_opaque(token: str) -> bool:
    """Whether it looks like one; no JWT does."""
    return token[:4] in ("acp_", "acs_")


class Introspection:
    """Turns opaque tokens into principals. `before` holds those that were good."""

    def __init__(
        self,
        authority: AuthorityStub,
        now: Callable[[], float],
        grants: Grants,
        revocations: Revocations,
        before: Container[str],
        reading: AbstractSet[str] = frozenset(),
    ) -> None:
        self._authority, self._now, self._grants, self._revocations = authority, now, grants, revocations
        self._before, self._reading = before, reading
        self._flights: Flights[IntrospectReply | None] = Flights()
        self._unknown: dict[str, float] = {}
        """Token → `time.monotonic` at which to ask again, in the order of arrival."""
        self._turns = asyncio.Semaphore(AT_A_TIME)
        self._waiting = 0

    async def principal(self, token: str) -> Principal:
        """Whom the token stands for. When this returns, no revocation and no change is known that it lacks.

        Raises:
            Unauthenticated: `invalid_token`, `token_revoked`.
            Unavailable: the authority does not answer, or too many ask.
        """
        if _SHAPE.fullmatch(token) is None or self._unknown.get(token, 0.0) > time.monotonic():
            raise _invalid()
        if token in self._before:
            reply = await self._flights.ask(token, lambda: self._ask(token))
        else:
            reply = await self._in_turn(token)
        if reply is None:
            raise _unavailable()
        if not reply.active:
            raise _invalid()
        granted = await self._grants.of(reply.subject)
        # From here on nothing waits: what is dead by now is refused, and what comes later drops what is kept.
        self._revocations.check(reply.token_id)
        now = self._now()
        ends = reply.expires_at.timestamp() if reply.expires_at is not None else now
        if ends <= now:
            raise Unauthenticated("The access token has expired: make a new one.", reason="token_expired")
        return Principal(
            Kind.SERVICE_ACCOUNT if reply.subject.startswith("sva_") else Kind.USER,
            reply.subject,
            reply.token_id,
            self._scopes(reply),
            reply.organization_id,
            granted.memberships,
            reply.region,
            expires_at=min(now + KEPT, ends, granted.until),
        )

    def _scopes(self, reply: IntrospectReply) -> frozenset[str]:
        """With all that "read" stands for in the contracts of today, and "read" itself, which may be handed on."""
        scopes = frozenset(reply.scopes)
        return scopes | self._reading if READ in scopes else scopes

    async def _in_turn(self, token: str) -> IntrospectReply | None:
        if self._turns.locked() and self._waiting >= WAITING:
            raise _unavailable()
        self._waiting += 1
        try:
            return await self._flights.ask(token, lambda: self._ask_in_turn(token))
        finally:
            self._waiting -= 1

    async def _ask_in_turn(self, token: str) -> IntrospectReply | None:
        async with self._turns:
            return await self._ask(token)

    async def _ask(self, token: str) -> IntrospectReply | None:
        try:
            reply = await self._authority.introspect(IntrospectRequest(token=token), timeout=ASK_TIMEOUT)
        except Refused as refusal:
            log.warning("an access token could not be asked about", reason=refusal.reason)
            return None
        if not reply.active:
            self._remember(token)
        elif reply.grants is not None:
            self._grants.keep(reply.subject, reply.grants)
        return reply

    def _remember(self, token: str) -> None:
        now = time.monotonic()
        while self._unknown:
            oldest, until = next(iter(self._unknown.items()))
            if until > now and len(self._unknown) < UNKNOWN:
                break
            del self._unknown[oldest]
        self._unknown[token] = now + UNKNOWN_FOR


def _invalid() -> Unauthenticated:
    message = "The access token is unknown, expired or revoked: make a new one, or send another."
    return Unauthenticated(message, reason="invalid_token")


def _unavailable() -> Unavailable:
    return Unavailable("Access tokens cannot be checked right now: try again.", reason="tokens_unavailable")
