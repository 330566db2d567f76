"""The authority's public keys."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from acme.contracts.authority.v1 import AuthorityStub, Key, KeysRequest
from acme.errors import Refused
from acme.telemetry import logger
from acme.tokens.settings import POLL_TIMEOUT

log: Final = logger(__name__)

REFETCH_EVERY: Final = 1.0
"""Seconds between two fetches of keys caused by tokens with an unknown kid."""
ALGORITHMS: Final = frozenset({"ES256"})


@dataclass(frozen=True, slots=True)
class Verifying:
    """A public key, ready to verify with."""

    kid: str
    key: ECKey
    algorithm: str
    not_before: float
    retired_at: float
    jwk: dict[str, Any]


class Keys:
    """Those that a live token may be signed with, and those that will sign soon. `withdrawn` is called when one is gone, or
    another one by its name: whoever was verified with it has to be verified again."""

    def __init__(self, authority: AuthorityStub, withdrawn: Callable[[], None]) -> None:
        self._authority, self._withdrawn = authority, withdrawn
        self._keys: dict[str, Verifying] = {}
        self.version: int | None = None
        """The authority's, `None` before the first fetch."""
        self._refetched = float("-inf")
        self._fetching = asyncio.Lock()

    async def find(self, kid: str) -> Verifying | None:
        """The key of this name, fetched if need be: once for all who wait, and at most every `REFETCH_EVERY` seconds."""
        known = self._keys.get(kid)
        if known is not None:
            return known
        async with self._fetching:
            if kid not in self._keys and time.monotonic() - self._refetched >= REFETCH_EVERY:
                try:
                    await self.fetch()
                except Refused as refusal:
                    log.warning("keys could not be fetched", reason=refusal.reason)
                self._refetched = time.monotonic()
        return self._keys.get(kid)

    def holds(self, key: Verifying) -> bool:
        """Whether this very key is still published."""
        known = self._keys.get(key.kid)
        return known is not None and known.jwk == key.jwk

    async def fetch(self) -> None:
        """Takes all keys from the authority; raises `Refused` when it does not answer."""
        reply = await self._authority.keys(KeysRequest(), timeout=POLL_TIMEOUT)
        keys = {key.kid: verifying for key in reply.keys if (verifying := _verifying(key)) is not None}
        if any(kid not in keys or keys[kid].jwk != known.jwk for kid, known in self._keys.items()):
            self._withdrawn()
        self._keys, self.version = keys, reply.key_version

    def jwks(self) -> dict[str, Any]:
        """A JWK Set (RFC 7517)."""
        return {"keys": [key.jwk for key in self._keys.values()]}


def _verifying(key: Key) -> Verifying | None:
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
    return Verifying(key.kid, public, key.algorithm, not_before, retired_at, shown)
