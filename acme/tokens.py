"""Verifies access tokens and follows key and revocation changes, for the gateway and for every worker.

The profile of an access token (RFC 9068, a JWS in compact form, ES256). The service that keeps the authority contract
issues exactly these; anything else is refused.

    header   alg "ES256" · typ "at+jwt" · kid                        and nothing else: no crit, jku, jwk, x5u
    iss      issuer, a fixed name independent of host and port       aud   "acme-api", or a list that holds it
    sub      user id, "usr_…"                                        client_id   the application, "acme"
    iat, nbf, exp   seconds since the Unix epoch                     jti   id of the token
    sid      id of the session, "ses_…"                              auth_time   when the session was opened
    scope    permissions separated by spaces; "*" for all            org   the personal organisation, "org_…"
    roles    {organisation id: role}                                 region   the principal's region
    epoch    grows with membership changes; tokens below a revoked epoch are dead

What is read: iss, aud, exp, nbf, iat, sub, sid, scope, org, roles, region, epoch. The others are for people and audits.

A verified token is cached until it expires or is revoked. `poll` runs every 250 ms (`acme/tasks.py` drives it): it asks
the authority contract for what was revoked since the last answer and fetches the keys when their version moves. When the
last successful poll is more than a second old, nobody knows what has been revoked: `fresh` is false, requests that bear a
token get 503, never 401, and the process is not ready.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from acme.context import Kind, Membership, Principal
from acme.contracts.authority.v1 import (
    AuthorityStub,
    Change,
    ChangesRequest,
    GrantsReply,
    GrantsRequest,
    Key,
    KeysRequest,
)
from acme.errors import Refused, Unauthenticated, Unavailable
from acme.ports import Clock
from acme.telemetry import Metrics, logger

log: Final = logger(__name__)

POLL_EVERY: Final = 0.25
"""Seconds between two polls."""
POLL_TIMEOUT: Final = 0.2
"""Seconds an answer of the authority may take."""
FRESH: Final = 1.0
"""Seconds after which the last successful poll is too old to trust."""
REFETCH_EVERY: Final = 1.0
"""Seconds between two fetches of keys caused by tokens with an unknown kid."""
LARGEST: Final = 8192
"""Bytes of the longest token that is looked at."""
ALGORITHMS: Final = frozenset({"ES256"})

_HEADER: Final = frozenset({"alg", "typ", "kid"})
_SHAPE: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_AGAIN: Final = "Log in, or refresh the session, and send the new access token."


class TokenSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[tokens]`: what issuer and verifiers of access tokens agree on."""

    issuer: str = "https://acme.localhost"
    """Claim `iss`. A name, not an address: it stays when the port or the host changes."""
    audience: str = "acme-api"
    """Claim `aud`."""
    longest_life: float = 900.0
    """Seconds. A token that lives longer is refused, and revocations are remembered for this long."""
    leeway: float = 5.0
    """Seconds by which the clocks of issuer and verifier may differ (`nbf` and `iat`; `exp` has none)."""
    cache: int = 50_000
    """Verified tokens kept; the oldest goes when one more comes."""


@dataclass(frozen=True, slots=True)
class _Verifying:
    """A public key, ready to verify with."""

    key: ECKey
    algorithm: str
    not_before: float
    retired_at: float
    jwk: dict[str, Any]


class Verifier:
    """Turns access tokens into principals. One a process; everything but `verify` and `poll` is synchronous."""

    def __init__(self, authority: AuthorityStub, clock: Clock, settings: TokenSettings, metrics: Metrics) -> None:
        self._authority, self._clock, self._settings = authority, clock, settings
        self._now = clock.time
        self._keys: dict[str, _Verifying] = {}
        self._key_version: int | None = None
        self._since = 0
        self._polled = float("-inf")
        self._refetched = float("-inf")
        self._fetching = asyncio.Lock()
        self._failing = False
        self._registry = jws.JWSRegistry(algorithms=sorted(ALGORITHMS))
        self._cache: dict[str, Principal] = {}
        self._of_session: dict[str, set[str]] = {}
        self._of_subject: dict[str, set[str]] = {}
        # Revocations, oldest first: name → (epoch, when to forget). A session has no epoch.
        self._dead_sessions: dict[str, float] = {}
        self._dead_epochs: dict[str, tuple[int, float]] = {}
        self._results = metrics.counter(
            "acme_token_verifications_total", "Access tokens verified, cache hits left out.", ("result",)
        )
        self._failures = metrics.counter("acme_token_poll_failures_total", "Polls of the authority that failed.").bind()
        metrics.gauge(
            "acme_token_cache_tokens", "Verified tokens in the cache.", (), lambda: {(): float(len(self._cache))}
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
        return self._since, self._key_version

    def cached(self, token: str) -> Principal | None:
        """The principal of a token that was verified before; `None` when it was not, or has expired since."""
        principal = self._cache.get(token)
        if principal is not None and principal.expires_at > self._now():
            return principal
        return None

    async def verify(self, token: str) -> Principal:
        """The principal of any token; about 140 µs, then cached.

        Raises:
            Unauthenticated: reasons `invalid_token`, `token_expired`, `token_revoked`.
            Unavailable: revocations are not known (see `fresh`).
        """
        if not self.fresh:
            raise Unavailable("Access tokens cannot be checked right now: try again.", reason="tokens_unavailable")
        try:
            principal = await self._verify(token)
        except Unauthenticated as refusal:
            self._results.bind(refusal.reason).add()
            raise
        self._results.bind("ok").add()
        self._keep(token, principal)
        return principal

    def jwks(self) -> dict[str, Any]:
        """The public keys as a JWK Set (RFC 7517), also those that are published and not yet used."""
        return {"keys": [key.jwk for key in self._keys.values()]}

    # ---- verification -------------------------------------------------------------------------------------------

    async def _verify(self, token: str) -> Principal:
        if len(token) > LARGEST:
            _refuse(f"The access token is longer than {LARGEST} bytes.")
        parts = _SHAPE.fullmatch(token)
        if parts is None:
            _refuse("The access token is not a signed JWT in compact form.")
        header = _object(parts[1], "header")
        if not header.keys() <= _HEADER:
            _refuse("The access token's header may hold alg, typ and kid, and nothing else.")
        if header.get("typ") != "at+jwt":
            _refuse('The token is not an access token: its header must say typ "at+jwt".')
        kid = header.get("kid")
        if not isinstance(kid, str) or not kid:
            _refuse("The access token names no key (kid).")
        key = self._keys.get(kid) or await self._look_up(kid)
        if key is None:
            _refuse(f"The access token was signed with an unknown key. {_AGAIN}")
        # The algorithm comes from the key, never from the token: no "none", and no HMAC with a public key as secret.
        if header.get("alg") != key.algorithm:
            _refuse("The access token was not signed with its key's algorithm.")
        try:
            jws.deserialize_compact(token, key.key, [key.algorithm], self._registry)
        except (JoseError, ValueError):
            _refuse(f"The access token's signature is wrong. {_AGAIN}")
        claims = _object(parts[2], "body")
        self._principal(claims, key, {})
        grants = await self._authority.grants(GrantsRequest(subject=claims["sub"]), timeout=2.0)
        return self._principal(claims, key, memberships(grants))

    def _principal(self, claims: dict[str, Any], key: _Verifying, granted: dict[str, Membership]) -> Principal:
        settings, now = self._settings, self._now()
        if claims.get("iss") != settings.issuer:
            _refuse("The access token is from another issuer.")
        audience = claims.get("aud")
        if audience != settings.audience and not (isinstance(audience, list) and settings.audience in audience):
            _refuse("The access token is for another audience.")
        exp, iat = _moment(claims, "exp"), _moment(claims, "iat")
        nbf = _moment(claims, "nbf")
        if exp <= now:
            raise Unauthenticated(f"The access token has expired. {_AGAIN}", reason="token_expired")
        if nbf > now + settings.leeway or iat > now + settings.leeway:
            _refuse("The access token is not valid yet.")
        if iat < key.not_before - settings.leeway or now >= key.retired_at:
            _refuse(f"The access token's key is not in use any more. {_AGAIN}")
        if exp - iat > settings.longest_life:
            _refuse("The access token lives longer than this platform allows.")
        epoch = claims.get("epoch", 0)
        if type(epoch) is not int:
            _refuse("The access token's claim epoch is not an integer.")
        subject, session = _text(claims, "sub"), _text(claims, "sid")
        if _NAME.fullmatch(subject) is None or _NAME.fullmatch(session) is None:
            _refuse("The access token's claims sub and sid have to be ids.")
        if session in self._dead_sessions or epoch < self._dead_epochs.get(subject, (epoch, 0.0))[0]:
            raise Unauthenticated(f"The access token has been revoked. {_AGAIN}", reason="token_revoked")
        return Principal(
            Kind.USER,
            subject,
            session,
            frozenset(_text(claims, "scope").split(" ")),
            _text(claims, "org"),
            granted,
            _text(claims, "region"),
            epoch,
            min(exp, key.retired_at),
            _moment(claims, "auth_time"),
        )

    # ---- the cache ----------------------------------------------------------------------------------------------

    def _keep(self, token: str, principal: Principal) -> None:
        self._drop(token)
        while len(self._cache) >= self._settings.cache:
            self._drop(next(iter(self._cache)))
        self._cache[token] = principal
        self._of_session.setdefault(principal.session, set()).add(token)
        self._of_subject.setdefault(principal.id, set()).add(token)

    def _drop(self, token: str) -> None:
        principal = self._cache.pop(token, None)
        if principal is None:
            return
        for index, name in ((self._of_session, principal.session), (self._of_subject, principal.id)):
            index[name].discard(token)
            if not index[name]:
                del index[name]

    # ---- following the authority --------------------------------------------------------------------------------

    async def poll(self) -> None:
        """Learns what changed. Called every `POLL_EVERY` seconds; an authority that does not answer is no error here,
        since the next poll must not wait longer for it."""
        started = time.monotonic()
        try:
            while True:
                reply = await self._authority.changes(ChangesRequest(since=self._since), timeout=POLL_TIMEOUT)
                self._revoke(reply.changes)
                self._since = reply.latest
                if reply.key_version != self._key_version:
                    await self._fetch()
                if not reply.more:
                    break
        except Refused as refusal:
            self._failures.add()
            if not self._failing:
                log.warning("the authority does not answer", reason=refusal.reason)
            self._failing = True
            return
        self._polled, self._failing = started, False
        self._forget()

    def _revoke(self, changes: Sequence[Change]) -> None:
        until = self._now() + self._settings.longest_life + self._settings.leeway
        for change in changes:
            if change.session_id is not None:
                self._dead_sessions[change.session_id] = until
                for token in tuple(self._of_session.get(change.session_id, ())):
                    self._drop(token)
            elif (subject := change.grants_of) is not None:
                for token in tuple(self._of_subject.get(subject, ())):
                    self._drop(token)
            elif (organization := change.organization_id) is not None:
                for token in [token for token, known in self._cache.items() if organization in known.memberships]:
                    self._drop(token)
            elif change.subject is not None:
                epoch = max(change.epoch, self._dead_epochs.pop(change.subject, (0, 0.0))[0])
                self._dead_epochs[change.subject] = (epoch, until)
                for token in tuple(self._of_subject.get(change.subject, ())):
                    if self._cache[token].epoch < epoch:
                        self._drop(token)

    def _forget(self) -> None:
        """Drops revocations whose last token has expired; both are in the order of arrival."""
        now = self._now()
        while self._dead_sessions and next(iter(self._dead_sessions.values())) < now:
            del self._dead_sessions[next(iter(self._dead_sessions))]
        while self._dead_epochs and next(iter(self._dead_epochs.values()))[1] < now:
            del self._dead_epochs[next(iter(self._dead_epochs))]

    async def _look_up(self, kid: str) -> _Verifying | None:
        """Fetches the keys once for all who wait, and at most every `REFETCH_EVERY` seconds whatever comes in."""
        async with self._fetching:
            if kid not in self._keys and time.monotonic() - self._refetched >= REFETCH_EVERY:
                try:
                    await self._fetch()
                except Refused as refusal:
                    log.warning("keys could not be fetched", reason=refusal.reason)
                self._refetched = time.monotonic()
        return self._keys.get(kid)

    async def _fetch(self) -> None:
        reply = await self._authority.keys(KeysRequest(), timeout=POLL_TIMEOUT)
        keys = {key.kid: verifying for key in reply.keys if (verifying := _verifying(key)) is not None}
        if any(kid not in keys or keys[kid].jwk != known.jwk for kid, known in self._keys.items()):
            # A key was withdrawn: whoever was verified with it has to be verified again.
            self._cache.clear()
            self._of_session.clear()
            self._of_subject.clear()
        self._keys, self._key_version = keys, reply.key_version


def _verifying(key: Key) -> _Verifying | None:
    try:
        jwk = json.loads(key.jwk)
        public = ECKey.import_key({name: jwk[name] for name in ("kty", "crv", "x", "y")})
    except (JoseError, ValueError, KeyError, TypeError) as error:
        log.error("a published key cannot be read", kid=key.kid, error=type(error).__name__)
        return None
    if key.algorithm not in ALGORITHMS or jwk["crv"] != "P-256":
        log.error("a published key has an algorithm nobody agreed on", kid=key.kid, algorithm=key.algorithm)
        return None
    shown = {**public.as_dict(private=False), "kid": key.kid, "alg": key.algorithm, "use": "sig"}
    not_before = key.not_before.timestamp() if key.not_before else float("-inf")
    retired_at = key.retired_at.timestamp() if key.retired_at else float("inf")
    return _Verifying(public, key.algorithm, not_before, retired_at, shown)


def memberships(reply: GrantsReply) -> dict[str, Membership]:
    """The authority's answer as a principal has it: by organisation."""
    return {
        each.organization_id: Membership(each.role, frozenset(each.permissions), each.default_role, tuple(each.teams))
        for each in reply.memberships
    }


def _refuse(message: str) -> NoReturn:
    raise Unauthenticated(message, reason="invalid_token")


def _object(part: str, name: str) -> dict[str, Any]:
    """A part of a token as a JSON object without duplicate names, NaN or Infinity, at any depth."""
    try:
        text = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, binascii.Error, RecursionError):
        value = None
    if not isinstance(value, dict):
        _refuse(f"The access token's {name} is not a JSON object with unique names.")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("duplicate names")
    return made


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _moment(claims: dict[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e11:
        _refuse(f"The access token's claim {name} is not a time.")
    return float(value)


def _text(claims: dict[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not value:
        _refuse(f"The access token's claim {name} is not a string.")
    return value
