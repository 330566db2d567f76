"""How often anybody may ask: a limit for each rate class of the contracts, by address and by principal.

    route → class ("default", "credentials", …) → by address, before the token is looked at → by principal, after it

Each is a bucket of the port `Limiter` (GCRA; `acme/gcra.py`): `rate` requests a minute on average, `burst` at once. That of
an address bounds what strangers cost, that of a principal what one user, or one program, may ask. Where a plan says
otherwise for a class, it stands in the place of the principal's. A route whose contract declares a cost takes so many units
from both; one that costs more than a bucket holds takes all of it.

When there are more addresses than are counted one by one, new ones share the bucket of their network (`addresses.wider`).
Whoever is refused only because of that, and has a token that was verified already, is let through to the bucket of the
principal, which is nobody else's: a flood of addresses takes nothing from those who are known.

Answers tell what is left by draft-ietf-httpapi-ratelimit-headers-10: `RateLimit-Policy` with quota `q` (the burst) and
window `w` (seconds in which it comes back whole), `RateLimit` with what is left, `r`, and the seconds until there is more,
`t`. They are of the principal's bucket; of the address's where nobody is known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from acme.context import Principal
from acme.errors import Exhausted
from acme.gateway.addresses import wider
from acme.gateway.settings import ClassSettings, LimitSettings
from acme.gcra import SECOND, Limit
from acme.ports import Limiter
from acme.telemetry import Metrics

DEFAULT: Final = "default"
"""The plan of everybody, and the class of methods that name none."""


_MOST_KNOWN: Final = 10_000
"""Units of a bucket whose lines are all remembered."""


def plan(principal: Principal, organizations: Mapping[str, str]) -> str:
    """The plan a principal is on, by those of organisations."""
    if not organizations:
        return DEFAULT
    own = (principal.organization, *principal.memberships)
    return next((organizations[name] for name in own if name in organizations), DEFAULT)


class Quota:
    """The buckets of one class, what a request takes from them, and what answers say of them."""

    __slots__ = ("_interval", "_known", "_lines", "_refused", "limit", "name", "shares", "take")

    def __init__(
        self, limiter: Limiter, metrics: Metrics, name: str, by: str, limit: Limit, keys: int, cost: int = 1
    ) -> None:
        """`by` is "address" or the name of a plan; `cost` is in units of the limit."""
        self.name, self.limit = name if by == DEFAULT else f"{name}-{by}", limit
        meter = limiter.meter(self.name, limit, keys=keys, wider=wider if by == "address" else None)
        self.take: Callable[[str, float], int] = (
            meter.take if cost == 1 else lambda key, now: meter.take(key, now, cost)
        )
        """Key → what is spare; below zero, the request is refused."""
        self.shares = meter.shares
        """Whether a key was charged to a bucket that is not its alone."""
        self._interval = limit.interval
        self._known: dict[int, bytes] | None = {} if limit.interval <= SECOND and limit.burst <= _MOST_KNOWN else None
        """What is left → its lines, where nothing else is in them: less than a second passes until there is more."""
        policy = f'RateLimit-Policy: "{self.name}";q={limit.burst};w={-(-limit.tolerance // SECOND)}\r\n'
        self._lines = f'{policy}RateLimit: "{self.name}";r=%d;t=%d\r\n'.encode()
        self._refused = metrics.counter(
            "acme_gateway_limited_total", "Requests refused because of a limit.", ("limit",)
        ).bind(self.name)

    def lines(self, spare: int) -> bytes:
        """Header lines for an answer."""
        if spare < 0:
            return self._lines % (0, self.wait(spare))
        interval, known = self._interval, self._known
        left = spare // interval
        if known is not None:
            lines = known.get(left)
            if lines is None:
                lines = known[left] = self._lines % (left, 1)
            return lines
        return self._lines % (left, -(-(interval - spare % interval) // SECOND))

    def wait(self, spare: int) -> int:
        """Whole seconds until a request that was refused may come again."""
        return max(1, -(self.limit.more(spare) // -SECOND))

    def refusal(self, spare: int) -> Exhausted:
        """What a request that found nothing left is told."""
        self._refused.add()
        wait = self.wait(spare)
        told = f"Too many requests: try again in {wait} second{'s' if wait > 1 else ''}."
        return Exhausted(told, reason="rate_limited", retry_after=wait)


class Gate:
    """The quotas of one class."""

    __slots__ = ("_organizations", "_plans", "_principal", "address", "only")

    def __init__(
        self, address: Quota, principal: Quota, plans: Mapping[str, Quota], organizations: Mapping[str, str]
    ) -> None:
        self.address, self._principal, self._plans, self._organizations = address, principal, plans, organizations
        self.only = None if plans else principal
        """The quota of every principal, where no plan says otherwise."""

    def principal(self, who: Principal) -> Quota:
        """The one that a principal's plan says."""
        return self._plans.get(plan(who, self._organizations), self._principal)


class Limits:
    """The gates of all classes."""

    def __init__(self, limiter: Limiter, settings: LimitSettings, metrics: Metrics) -> None:
        """Made again with other settings, it goes on with the same buckets: the limiter keeps them by name."""
        self._limiter, self._settings, self._metrics = limiter, settings, metrics
        self._gates: dict[tuple[str, int], Gate] = {}

    def gate(self, rate_class: str, cost: int = 1) -> Gate:
        """The gate of a class, for requests that cost so many units; a class that the settings do not know has the numbers
        of the default, and buckets of its own."""
        gate = self._gates.get((rate_class, cost))
        if gate is None:
            of, settings = self._of(rate_class), self._settings
            gate = self._gates[rate_class, cost] = Gate(
                self._quota(rate_class, "address", of.address_rate, of.address_burst, cost),
                self._quota(rate_class, DEFAULT, of.rate, of.burst, cost),
                {
                    name: self._quota(rate_class, name, own.rate, own.burst, cost)
                    for name, classes in settings.plans.items()
                    if (own := classes.get(rate_class)) is not None
                },
                settings.organizations,
            )
        return gate

    def _of(self, rate_class: str) -> ClassSettings:
        settings = self._settings
        if rate_class == "credentials":
            return settings.credentials
        return settings.classes.get(rate_class, settings.default)

    def _quota(self, rate_class: str, by: str, rate: float, burst: int, cost: int) -> Quota:
        limit = Limit(rate / 60, burst)
        return Quota(self._limiter, self._metrics, rate_class, by, limit, self._settings.keys, cost)
