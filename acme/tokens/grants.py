"""Memberships of subjects: asked for once, kept, and dropped when the authority's feed names them.

The race. An answer is made from one moment of the authority's database, and bears the number of the last change that this
moment includes. While it travels, the feed may tell of a later change of the same subject; that drops nothing, because
nothing is kept yet. So the numbers of recent changes are remembered, and an answer that lacks one is thrown away.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from acme.context import Membership
from acme.contracts.authority.v1 import AuthorityStub, GrantsReply, GrantsRequest
from acme.contracts.authority.v1 import Membership as Said
from acme.errors import Refused, Unavailable
from acme.telemetry import logger
from acme.tokens.flights import Flights
from acme.tokens.settings import ASK_TIMEOUT, ATTEMPTS, TokenSettings

log: Final = logger(__name__)

REMEMBERED: Final = 10 * ASK_TIMEOUT
"""Seconds for which a change may overtake an answer: much longer than one can be on its way."""


@dataclass(frozen=True, slots=True)
class Granted:
    """What a subject may do where."""

    memberships: Mapping[str, Membership]
    """By organisation; never mutated."""
    until: float
    """Seconds since the Unix epoch: the first of them expires, or it is time to ask again anyway."""
    sequence: int
    """Number of the last change that it includes."""


class Grants:
    """One a verifier. Everything but `of` is synchronous."""

    def __init__(self, authority: AuthorityStub, now: Callable[[], float], settings: TokenSettings) -> None:
        self._authority, self._now, self._settings = authority, now, settings
        self._kept: dict[str, Granted] = {}
        self._flights: Flights[bool] = Flights()
        self._changed: dict[str, tuple[int, float]] = {}
        """Subject or organisation → number of its last change, and when (`time.monotonic`) to forget it."""

    async def of(self, subject: str) -> Granted:
        """What the subject may do. When this returns, no change is known that it lacks, and nothing waits in between.

        Raises:
            Unavailable: the authority does not answer, or not in time.
        """
        for _ in range(ATTEMPTS):
            granted = self._kept.get(subject)
            if granted is not None and granted.until > self._now():
                return granted
            if not await self._flights.ask(subject, lambda: self._ask(subject)):
                break
        raise Unavailable("Access tokens cannot be checked right now: try again.", reason="tokens_unavailable")

    def keep(self, subject: str, reply: GrantsReply) -> None:
        """Keeps an answer of the authority's, unless something newer is known."""
        held = [each.organization_id for each in reply.memberships]
        if any(self._changed.get(name, (0, 0.0))[0] > reply.sequence for name in (subject, *held)):
            return
        kept = self._kept.pop(subject, None)
        if kept is None or kept.sequence <= reply.sequence:
            kept = self._granted(reply)
        while len(self._kept) >= self._settings.cache:
            del self._kept[next(iter(self._kept))]
        self._kept[subject] = kept

    def follow(self, subjects: Mapping[str, int], organizations: Mapping[str, int]) -> None:
        """What has changed, with the number of the change."""
        until = time.monotonic() + REMEMBERED
        for name, sequence in (*subjects.items(), *organizations.items()):
            self._changed.pop(name, None)
            self._changed[name] = (sequence, until)
        for subject in subjects:
            self._kept.pop(subject, None)
        if organizations:
            there = organizations.keys()
            for subject in [name for name, of in self._kept.items() if not there.isdisjoint(of.memberships)]:
                del self._kept[subject]

    def forget(self) -> None:
        """Drops changes that overtake nothing any more; they are in the order of arrival."""
        now = time.monotonic()
        while self._changed and next(iter(self._changed.values()))[1] < now:
            del self._changed[next(iter(self._changed))]

    def clear(self) -> None:
        """Forgets everything: the numbers begin anew."""
        self._kept.clear()
        self._changed.clear()

    async def _ask(self, subject: str) -> bool:
        try:
            reply = await self._authority.grants(GrantsRequest(subject=subject), timeout=ASK_TIMEOUT)
        except Refused as refusal:
            log.warning("memberships could not be asked for", reason=refusal.reason)
            return False
        self.keep(subject, reply)
        return True

    def _granted(self, reply: GrantsReply) -> Granted:
        now = self._now()
        until = now + self._settings.longest_life  # the authority's feed reaches no further back
        alive = []
        for each in reply.memberships:
            expires_at = each.expires_at.timestamp() if each.expires_at is not None else until
            if expires_at > now:  # our clock may be ahead of the authority's
                alive.append(each)
                until = min(until, expires_at)
        return Granted(_by_organization(alive), until, reply.sequence)


def memberships(reply: GrantsReply) -> Mapping[str, Membership]:
    """An answer of the authority's as a principal has it: by organisation."""
    return _by_organization(reply.memberships)


def _by_organization(said: Iterable[Said]) -> dict[str, Membership]:
    return {
        each.organization_id: Membership(each.role, frozenset(each.permissions), each.default_role, tuple(each.teams))
        for each in said
    }
