"""What one of our processes has proved itself, told to the others: a client's certificate stands for this service account.

A worker believes in tokens, and a certificate ends at the gateway. So the gateway makes a token of it that all who have the
master key can read, sealed with it: an opaque one that never leaves the platform, and is good for a minute. What its subject
may do is asked of the authority, as for every token.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Final

import msgspec

from acme.errors import Unauthenticated
from acme.ports import Cipher

PREFIX: Final = "acc_"
LIFE: Final = 60.0
"""Seconds for which an assertion is good."""
_PURPOSE: Final = "tokens/certificate"


class Asserted(msgspec.Struct, frozen=True, array_like=True):
    """What an assertion says."""

    subject: str
    """A service account, "sva_…"."""
    session: str
    """Which certificate it was, "crt_…"."""
    scopes: tuple[str, ...]
    region: str
    ends: float
    """Seconds since the Unix epoch."""


class Assertions:
    """Makes and reads them."""

    def __init__(self, cipher: Cipher, now: Callable[[], float], region: str = "") -> None:
        """`now` is in seconds since the Unix epoch; `region` is the platform's."""
        self._cipher, self.now, self._region = cipher, now, region
        self._read = msgspec.json.Decoder(Asserted).decode

    def make(self, subject: str, session: str, scopes: tuple[str, ...], ends: float) -> str:
        """A token, good until `ends`."""
        plain = msgspec.json.encode(Asserted(subject, session, scopes, self._region, ends))
        return PREFIX + base64.urlsafe_b64encode(self._cipher.seal(_PURPOSE, plain)).decode()

    def read(self, token: str) -> Asserted:
        """What a token says.

        Raises:
            Unauthenticated: it is none of ours (`invalid_token`), or its time is over (`token_expired`).
        """
        try:
            said = self._read(self._cipher.open(_PURPOSE, base64.urlsafe_b64decode(token.removeprefix(PREFIX))))
        except (ValueError, binascii.Error):
            raise Unauthenticated("The access token is none of ours.", reason="invalid_token") from None
        if said.ends <= self.now():
            raise Unauthenticated("The certificate's time is over.", reason="token_expired")
        return said
