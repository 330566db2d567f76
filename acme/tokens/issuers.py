"""Issuers beside our own whose tokens are believed (`[tokens.issuers.NAME]`), and the profile of those tokens.

    header   alg, one of the issuer's that fits the key · kid · typ as declared · x5t, x5t#S256; nothing else: no crit, b64,
             jwk, jku, x5u, x5c, cty
    iss      the issuer, to the letter                 aud   one of the audiences declared, or a list that holds one
    exp      wanted                                    nbf, iat   where they are there

A principal whom another issuer vouches for is nobody of ours: its id is made of issuer and claim (`claims.foreign_id`), its
memberships are what was declared for it, and nothing about it is kept here. Nor can such a token be revoked here: it is good
until it expires, its key is withdrawn, or the issuer is taken out of the configuration.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import Final

from acme.context import Principal
from acme.errors import Unauthenticated
from acme.ports import Fetcher
from acme.tasks import Tasks
from acme.telemetry import Metrics
from acme.tokens.claims import principal_of
from acme.tokens.issuer_settings import IssuerSettings
from acme.tokens.jws import Signed, moment, refuse, verify
from acme.tokens.remote import RemoteKeys
from acme.tokens.revocations import AGAIN

LOOK_EVERY: Final = 1.0
"""Seconds between two looks at which issuer is due."""

_HEADER: Final = frozenset({"alg", "typ", "kid", "x5t", "x5t#S256"})


class Issuers:
    """All that are trusted. `withdrawn` is called when tokens that were good may not be any more; `reading` are the
    permissions that "read" covers. One a process."""

    def __init__(
        self,
        settings: Mapping[str, IssuerSettings],
        fetcher: Fetcher,
        withdrawn: Callable[[], None],
        metrics: Metrics,
        reading: AbstractSet[str] = frozenset(),
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetcher, self._withdrawn, self._reading, self._elapsed = fetcher, withdrawn, reading, elapsed
        self._fetches = metrics.counter(
            "acme_token_issuer_fetches_total", "Looks at the keys of other issuers.", ("issuer", "result")
        )
        self._all: dict[str, RemoteKeys] = {}
        """By name, and below by claim `iss`."""
        self._by_issuer: dict[str, RemoteKeys] = {}
        self._looking: set[str] = set()
        metrics.gauge("acme_token_issuer_keys", "Keys of other issuers that are known.", ("issuer",), self._counts)
        metrics.gauge(
            "acme_token_issuer_patience_seconds",
            "For how long the keys of other issuers are believed if nothing more is heard of them.",
            ("issuer",),
            lambda: {(each.name,): max(0.0, each.patience) for each in self._all.values()},
        )
        self.configure(settings)

    def configure(self, settings: Mapping[str, IssuerSettings]) -> None:
        """From now on these. What is known of those that stay where they were is kept; who is gone is not believed."""
        before = {name: each.settings for name, each in self._all.items()}
        kept: dict[str, RemoteKeys] = {}
        for name, each in settings.items():
            known = self._all.get(name)
            if known is None:
                known = RemoteKeys(name, each, self._fetcher, self._withdrawn, self._fetches, self._elapsed)
            else:
                known.configure(each)
            kept[name] = known
        self._all = kept
        self._by_issuer = {each.settings.issuer: each for each in kept.values()}
        if any(settings.get(name) != was for name, was in before.items()):
            self._withdrawn()

    def start(self, tasks: Tasks) -> None:
        """Looks at the keys of each when it is due, beginning now, until `tasks` stop."""

        async def look() -> None:
            for name, each in self._all.items():
                if each.due and name not in self._looking:
                    self._looking.add(name)
                    tasks.spawn(f"tokens.issuer.{name}", self._look(each))

        tasks.loop("tokens.issuers", look, pause=LOOK_EVERY)

    def states(self) -> dict[str, str]:
        """The word "ok", or what is wrong, for each, for people."""
        return {f"issuer {name}": each.state for name, each in self._all.items()}

    def of(self, issuer: object) -> RemoteKeys | None:
        """The keys of whoever has this claim `iss`."""
        return self._by_issuer.get(issuer) if isinstance(issuer, str) else None

    async def principal(self, signed: Signed, keys: RemoteKeys, now: float) -> Principal:
        """Whom a token of that issuer stands for; when this returns, its key is still published.

        Raises:
            Unauthenticated: it proves nothing (`invalid_token`, `token_expired`).
            Unavailable: the keys are not known right now.
        """
        settings, header, claims = keys.settings, signed.header, signed.claims
        if not header.keys() <= _HEADER:
            refuse("The access token's header may hold alg, typ, kid, x5t and x5t#S256, and nothing else.")
        typ, kid = header.get("typ", ""), header.get("kid")
        if not isinstance(typ, str) or _media_type(typ) not in map(str.lower, settings.types):
            refuse("The access token's header has a typ that is not declared for its issuer.")
        if not isinstance(kid, str) or not kid:
            refuse("The access token names no key (kid).")
        # What costs no question comes first: who has nothing to show keeps nobody busy with looking for keys.
        audience = claims.get("aud")
        if not any(each in settings.audience for each in (audience if isinstance(audience, list) else [audience])):
            refuse("The access token is for another audience.")
        ends = self._ends(claims, settings, now)
        # The algorithm is one that we allow: no "none", and no HMAC with a public key as secret.
        algorithm = header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in settings.algorithms:
            refuse("The access token was not signed with an algorithm of its issuer's.")
        key = await keys.find(kid)
        if key is None:
            refuse(f"The access token was signed with an unknown key. {AGAIN}")
        if algorithm not in key.algorithms:
            refuse("The access token was not signed with an algorithm of its key's.")
        verify(signed, key.key, algorithm)
        return principal_of(
            claims,
            keys.name,
            settings.issuer,
            settings.principal,
            ends=min(ends, now + keys.patience),
            now=now,
            reading=self._reading,
        )

    def _ends(self, claims: dict[str, object], settings: IssuerSettings, now: float) -> float:
        leeway = settings.leeway
        exp = moment(claims, "exp")
        if exp + leeway <= now:
            raise Unauthenticated(f"The access token has expired. {AGAIN}", reason="token_expired")
        begins = [moment(claims, name) for name in ("nbf", "iat") if name in claims]
        if any(begin > now + leeway for begin in begins):
            refuse("The access token is not valid yet.")
        if exp - min([now, *begins]) > settings.longest_life + leeway:
            refuse("The access token lives longer than its issuer may say.")
        return exp + leeway

    async def _look(self, keys: RemoteKeys) -> None:
        try:
            await keys.refresh()
        finally:
            self._looking.discard(keys.name)

    def _counts(self) -> dict[tuple[str, ...], float]:
        return {(each.name,): float(len(each)) for each in self._all.values()}


def _media_type(typ: str) -> str:
    """As it is compared (RFC 7515, section 4.1.9): "application/" may be left out, and case does not count."""
    return typ.lower().removeprefix("application/")
