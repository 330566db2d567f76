"""Callers that the test kit vouches for, in placements where calls bear tokens.

A test calls as somebody without an account, or long after a token has expired. Where a call only passes through memory its
principal goes along; to another process goes a token, which is verified there. The kit's tokens hold a principal as it is,
sealed with the master key of the platform under test, and only platforms of the kit believe them. What verifies real tokens
is tested by calling over HTTP.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import asdict
from typing import Final

from acme.context import Kind, Membership, Principal
from acme.ports import Cipher
from acme.tokens import Verifier

_PREFIX: Final = "acme-test."
_PURPOSE: Final = "testing/vouched"


def vouch(principal: Principal, cipher: Cipher) -> str:
    """A token of the kit's for a user or a service account; "" for anybody else."""
    if principal.kind not in (Kind.USER, Kind.SERVICE_ACCOUNT):
        return ""
    plain = json.dumps(asdict(principal), default=sorted).encode()  # sets are all that JSON lacks
    return _PREFIX + base64.urlsafe_b64encode(cipher.seal(_PURPOSE, plain)).decode()


class Vouched:
    """Believes the kit's tokens, and what the platform's own verifier believes."""

    def __init__(self, verifier: Verifier, cipher: Cipher) -> None:
        self._verifier, self._cipher = verifier, cipher

    @property
    def fresh(self) -> bool:
        """The kit's tokens are never revoked; of the others the verifier says so itself."""
        return True

    @property
    def seen(self) -> int:
        """As the verifier says."""
        return self._verifier.seen

    async def catch_up(self, seen: int = 0) -> None:
        """As the verifier does."""
        await self._verifier.catch_up(seen)

    def cached(self, token: str) -> Principal | None:
        """The principal that a token of the kit's holds, or one that was verified before."""
        if not token.startswith(_PREFIX):
            return self._verifier.cached(token) if self._verifier.fresh else None
        try:
            sealed = base64.urlsafe_b64decode(token.removeprefix(_PREFIX))
            held = json.loads(self._cipher.open(_PURPOSE, sealed))
        except (ValueError, binascii.Error):
            return None
        memberships = {name: _membership(**said) for name, said in held["memberships"].items()}
        read = {"kind": Kind(held["kind"]), "scopes": frozenset(held["scopes"]), "memberships": memberships}
        return Principal(**{**held, **read})

    async def verify(self, token: str) -> Principal:
        """As the verifier does."""
        return await self._verifier.verify(token)


def _membership(role: str, permissions: list[str], default_role: str, teams: list[str]) -> Membership:
    return Membership(role, frozenset(permissions), default_role, tuple(teams))
