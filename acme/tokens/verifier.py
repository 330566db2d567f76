"""The verifier: tokens → principals, and the poll that keeps what is known up to date."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from typing import Any, Final

from acme.context import Kind, Principal
from acme.contracts.authority.v1 import AuthorityStub, Change, ChangesRequest
from acme.errors import Refused, Unauthenticated, Unavailable
from acme.ports import Clock, Fetcher
from acme.tasks import Tasks
from acme.telemetry import Metrics, logger
from acme.tokens import jws, jwt
from acme.tokens.assertions import PREFIX, Asserted, Assertions
from acme.tokens.grants import Grants
from acme.tokens.introspection import READ, Introspection, is_opaque
from acme.tokens.issuers import Issuers
from acme.tokens.keys import Keys
from acme.tokens.principals import Principals
from acme.tokens.revocations import Revocations
from acme.tokens.settings import FRESH, PATIENCE, PAUSE, POLL_TIMEOUT, TokenSettings

log: Final = logger(__name__)


class Verifier:
    """Turns access tokens into principals. One a process; everything but `verify` and `poll` is synchronous.

    `reading` are the permissions that the scope "read" of an opaque token covers (`acme.contract.reading`); `assertions`
    reads what gateways tell of client certificates. Without a `fetcher` other issuers are not believed,
    whatever the settings say.
    """

    def __init__(
        self,
        authority: AuthorityStub,
        clock: Clock,
        settings: TokenSettings,
        metrics: Metrics,
        reading: AbstractSet[str] = frozenset(),
        assertions: Assertions | None = None,
        fetcher: Fetcher | None = None,
    ) -> None:
        self._authority, self._settings = authority, settings
        self.now: Final = clock.time
        """The time that tokens are judged by, in seconds since the Unix epoch."""
        self._principals = Principals(settings.cache)
        self._keys = Keys(authority, self._principals.clear)
        self._revocations = Revocations()
        self._grants = Grants(authority, clock.time, settings)
        self._introspection = Introspection(
            authority, clock.time, self._grants, self._revocations, before=self._principals, reading=reading
        )
        self._issuers = None
        if fetcher is not None:
            self._issuers = Issuers(settings.issuers, fetcher, self._principals.clear, metrics, reading)
        self._assertions, self._reading = assertions, reading
        self._kept = self._principals.get
        self.seen = 0
        """Number of the last change of the authority's that is known here; 0 for none."""
        self._asking = asyncio.Lock()
        self._begun = 0
        """How many polls have begun, but for those that were cancelled."""
        self._polled = float("-inf")
        self._failing = False
        self._results = metrics.counter(
            "acme_token_verifications_total", "Access tokens verified, cache hits left out.", ("result",)
        )
        self._failures = metrics.counter("acme_token_poll_failures_total", "Polls of the authority that failed.").bind()
        metrics.gauge(
            "acme_token_cache_tokens", "Verified tokens in the cache.", (), lambda: {(): float(len(self._principals))}
        )
        metrics.gauge(
            "acme_token_poll_age_seconds",
            "Age of the last successful poll of the authority.",
            (),
            lambda: {(): time.monotonic() - self._polled},
        )

    # ---- the hot path -------------------------------------------------------------------------------------------

    @property
    def fresh(self) -> bool:
        """Whether revocations are known up to a second ago."""
        return time.monotonic() - self._polled <= FRESH

    @property
    def position(self) -> tuple[int, int | None]:
        """How far it has followed the authority: its last change, and the version of its keys."""
        return self.seen, self._keys.version

    def cached(self, token: str) -> Principal | None:
        """The principal of a token that was verified before; `None` when it was not, or has to be asked about again."""
        principal = self._kept(token)
        if principal is not None and principal.expires_at > self.now():
            return principal
        return None

    def known(self, token: str, at: float, now: float) -> Principal | None:
        """`cached`, as long as revocations are known; for whoever has just read both clocks, of which each reading costs
        0.04 µs. `at` is `time.monotonic()`, `now` is `self.now()`."""
        principal = self._kept(token)
        if principal is not None and principal.expires_at > now and at - self._polled <= FRESH:
            return principal
        return None

    async def verify(self, token: str) -> Principal:
        """The principal of any token; about 140 µs of computing for a JWT, and a question to the authority where the
        memberships of its subject are not known, or to another issuer where its keys are not. Then it is kept.

        Raises:
            Unauthenticated: reasons `invalid_token`, `token_expired`, `token_revoked`.
            Unavailable: revocations are not known (see `fresh`), nor after one poll more; or the authority, or another
                issuer, did not answer in time. Never 401, for a client would throw its token away.
        """
        if not self.fresh:
            await self.catch_up()  # this process may have stood still for a second, and all be well
            if not self.fresh:
                raise Unavailable("Access tokens cannot be checked right now: try again.", reason="tokens_unavailable")
        try:
            if is_opaque(token):
                principal = await self._introspection.principal(token)
            elif token.startswith(PREFIX) and self._assertions is not None:
                principal = await self._of_certificate(self._assertions.read(token))
            else:
                principal = await self._signed(token)
        except Refused as refusal:
            self._results.bind(refusal.reason).add()
            raise
        self._results.bind("ok").add()
        self._principals.keep(token, principal)
        return principal

    def jwks(self) -> dict[str, Any]:
        """The public keys as a JWK Set (RFC 7517), also those that are published and not yet used."""
        return self._keys.jwks()

    async def _signed(self, token: str) -> Principal:
        signed = jws.parse(token)
        issuers = self._issuers
        issuer = issuers.of(signed.claims.get("iss")) if issuers is not None else None
        if issuers is None or issuer is None:
            return await self._of_jwt(signed)
        return await issuers.principal(signed, issuer, self.now())

    async def _of_jwt(self, signed: jws.Signed) -> Principal:
        claims = await jwt.read(signed, self._keys, self._settings, self.now())
        granted = await self._grants.of(claims.subject)
        # From here on nothing waits: what is dead by now is refused, and what comes later drops what is kept.
        self._revocations.check(claims.session, claims.subject, claims.epoch)
        if not self._keys.holds(claims.key):
            jwt.unknown_key()
        return Principal(
            Kind.USER,
            claims.subject,
            claims.session,
            claims.scopes,
            claims.organization,
            granted.memberships,
            claims.region,
            claims.epoch,
            min(claims.ends, granted.until),
            claims.authenticated_at,
        )

    async def _of_certificate(self, said: Asserted) -> Principal:
        """A service account belongs to one organisation as long as it exists."""
        granted = await self._grants.of(said.subject)
        if len(granted.memberships) != 1:
            told = "The client certificate stands for a service account that does not exist."
            raise Unauthenticated(told, reason="invalid_token")
        scopes = frozenset(said.scopes)
        return Principal(
            Kind.SERVICE_ACCOUNT,
            said.subject,
            said.session,
            scopes | self._reading if READ in scopes else scopes,
            next(iter(granted.memberships)),
            granted.memberships,
            said.region,
            expires_at=min(said.ends, granted.until),
        )

    # ---- other issuers ------------------------------------------------------------------------------------------

    def start(self, tasks: Tasks) -> None:
        """Looks at the keys of other issuers from now on, until `tasks` stop."""
        if self._issuers is not None:
            self._issuers.start(tasks)

    def issuers(self) -> dict[str, str]:
        """How other issuers are, "ok" or what is wrong, for the details of readiness. None of them decides it."""
        return self._issuers.states() if self._issuers is not None else {}

    def configure(self, settings: TokenSettings) -> None:
        """Other issuers are as `settings` say from now on; the rest of `[tokens]` stays as it was at the start."""
        if self._issuers is not None:
            self._issuers.configure(settings.issuers)

    # ---- following the authority --------------------------------------------------------------------------------

    async def poll(self) -> None:
        """Learns what changed until now. Called every `POLL_EVERY` seconds, and by whoever cannot wait for that; all who
        come while a poll is on its way share the next one. An authority that does not answer is no error here, since the
        next poll must not wait longer for it."""
        begun = self._begun
        async with self._asking:
            if self._begun > begun:
                return
            self._begun += 1
            try:
                await self._ask()
            except asyncio.CancelledError:
                self._begun -= 1  # those who wait for it ask themselves
                raise

    async def catch_up(self, seen: int = 0) -> None:
        """Polls until it succeeds, unless the change `seen` is known here, for `PATIENCE` seconds at most; 0 is any change
        until now.

        Whoever was told of a change, or waited for the reply of a method that makes one, finds it known afterwards, or
        an authority that does not answer: then the polls that follow bring it within a second, or nobody is `fresh`.
        """
        if seen and seen <= self.seen:
            return
        begun = time.monotonic()
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await self.poll()
                while self._polled < begun:  # it did not answer in time; it may be busy
                    await asyncio.sleep(PAUSE)
                    await self.poll()

    async def _ask(self) -> None:
        started = time.monotonic()
        try:
            while True:
                reply = await self._authority.changes(ChangesRequest(since=self.seen), timeout=POLL_TIMEOUT)
                if reply.latest < self.seen:
                    log.warning("the authority has gone back: its database was restored", latest=reply.latest)
                    self._principals.clear()
                    self._grants.clear()
                self._follow(reply.changes)
                self.seen = reply.latest
                if reply.key_version != self._keys.version:
                    await self._keys.fetch()
                if not reply.more:
                    break
        except Refused as refusal:
            self._failures.add()
            if not self._failing:
                log.warning("the authority does not answer", reason=refusal.reason)
            self._failing = True
            return
        self._polled, self._failing = started, False
        self._revocations.forget(self.now())
        self._grants.forget()

    def _follow(self, changes: Sequence[Change]) -> None:
        until = self.now() + self._settings.longest_life + self._settings.leeway
        subjects: dict[str, int] = {}
        organizations: dict[str, int] = {}
        for change in changes:
            if change.session_id is not None:
                self._revocations.end(change.session_id, until=until)
                self._principals.drop_session(change.session_id)
            elif change.subject is not None:
                epoch = self._revocations.raise_epoch(change.subject, change.epoch, until=until)
                self._principals.drop_epochs(change.subject, epoch)
            elif change.grants_of is not None:
                subjects[change.grants_of] = change.sequence
            elif change.organization_id is not None:
                organizations[change.organization_id] = change.sequence
        if subjects or organizations:
            self._grants.follow(subjects, organizations)
            self._principals.drop_granted(subjects.keys(), organizations.keys())
