"""Refresh tokens: derived, never stored.

A session is a *family*: a secret in its row and the *generation* of its youngest token, 1 at log-in. The token of a
generation is

    acr_ + base64url(version ‖ session id ‖ generation ‖ HMAC-SHA256(key, session id ‖ generation))

with version 1 (one byte), the 26 characters of the id after `ses_`, the generation as four bytes in network order, and
key = MAC of the family's secret under the platform's master secret: neither the database nor the master secret alone
makes a token. 63 bytes are 84 characters without padding, so that a token has exactly one spelling.

Using the token of the current generation makes the next one current (rotation, RFC 9700 section 4.14.2). Because the
successor is derived, a client that lost the reply gets the very same one again, for `GRACE` and for as long as it is
unused, and no reply is kept anywhere. Every other token of the family was stolen, or the thief has got further than the
owner: the family ends.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import struct
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum, auto
from typing import Final

from acme import Cipher

GRACE: Final = timedelta(seconds=10)
"""For so long after a rotation the predecessor is answered with the same successor."""

_PREFIX: Final = "acr_"
_LAYOUT: Final = struct.Struct("!B26sI32s")
_VERSION: Final = 1
_SESSION: Final = "ses_"


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A refresh token taken apart. It proves nothing before `RefreshTokens.genuine` says so."""

    session_id: str
    generation: int
    mac: bytes = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> RefreshToken:
        """Raises `ValueError` for what does not have the shape."""
        if not text.startswith(_PREFIX):
            raise ValueError("not a refresh token")
        try:
            raw = base64.b64decode(text[len(_PREFIX) :], altchars=b"-_", validate=True)
            version, session, generation, mac = _LAYOUT.unpack(raw)
        except (binascii.Error, struct.error) as error:
            raise ValueError("not a refresh token") from error
        token = cls(_SESSION + session.decode("ascii", "replace"), generation, mac)
        if version != _VERSION or not (session.isalnum() and str(token) == text):  # Base64 has several spellings.
            raise ValueError("not a refresh token")
        return token

    def __str__(self) -> str:
        raw = _LAYOUT.pack(_VERSION, _session(self.session_id), self.generation, self.mac)
        return _PREFIX + base64.urlsafe_b64encode(raw).decode("ascii")


class RefreshTokens:
    """Derives refresh tokens and recognises them."""

    def __init__(self, cipher: Cipher) -> None:
        self._cipher = cipher

    def issue(self, session_id: str, secret: bytes, generation: int) -> str:
        """The token of a generation: the same each time. `secret` is the family's, 32 random bytes."""
        return str(RefreshToken(session_id, generation, self._mac(session_id, secret, generation)))

    def genuine(self, token: RefreshToken, secret: bytes) -> bool:
        """Whether the family with this secret gave the token out. Takes the same time for any wrong one."""
        return hmac.compare_digest(token.mac, self._mac(token.session_id, secret, token.generation))

    def _mac(self, session_id: str, secret: bytes, generation: int) -> bytes:
        key = self._cipher.mac("refresh", secret)
        return hmac.digest(key, _session(session_id) + generation.to_bytes(4, "big"), hashlib.sha256)


class Use(Enum):
    """What presenting a genuine refresh token means."""

    ROTATE = auto()
    """It is the current one: make its successor."""
    REPEAT = auto()
    """It is the immediate predecessor, and the client seems to have lost the reply: the successor again."""
    REUSED = auto()
    """Two parties hold tokens of this family: end it."""


def judge(presented: int, current: int, since_rotation: timedelta) -> Use:
    """What a token of generation `presented` means to a family whose current generation began `since_rotation` ago.

    That the successor is unused needs no record: using it would have made a younger generation current. A generation
    that is yet to come was given out by a database that has lost it since, so nobody knows who holds what.
    """
    if presented == current:
        return Use.ROTATE
    if presented == current - 1 and since_rotation <= GRACE:
        return Use.REPEAT
    return Use.REUSED


def _session(session_id: str) -> bytes:
    return session_id.removeprefix(_SESSION).encode("ascii")
