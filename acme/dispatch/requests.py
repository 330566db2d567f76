"""The headers of a request to another process."""

from __future__ import annotations

import platform
import time
from typing import Final

from acme.context import Call
from acme.dispatch.headers import Header, joined, literal, start, value
from acme.dispatch.identity import Identity, block, metadata, timeout_text
from acme.errors import DeadlineExceeded
from acme.ports import Cipher, Clock

_TIMEOUT: Final = start(b"grpc-timeout")
_AGENT: Final = f"acme-platform (python {platform.python_version()})".encode()


class Requests:
    """Writes the headers of requests to one target."""

    def __init__(self, cipher: Cipher, clock: Clock, authority: str, *, secure: bool) -> None:
        self._identity = Identity(cipher, clock)
        self._authority, self._scheme = authority.encode(), b"https" if secure else b"http"
        self._constants: dict[str, bytes] = {}

    def head(self, path: str, call: Call) -> list[Header]:
        """The headers of a call of the method at `path`.

        Raises:
            DeadlineExceeded: there is no time left.
        """
        left = call.deadline - time.monotonic()
        if left <= 0:
            raise DeadlineExceeded("There was no time left for the call.")
        sent = metadata(call)
        sent[b"acme-identity"] = self._identity.prove(call.service, path, sent)
        return joined(self._constant(path) + _TIMEOUT + value(timeout_text(left)) + block(sent))

    def _constant(self, path: str) -> bytes:
        """What is the same in every request for a method, written."""
        known = self._constants.get(path)
        if known is None:
            pairs = [
                (b":method", b"POST"),
                (b":scheme", self._scheme),
                (b":path", path.encode()),
                (b":authority", self._authority),
                (b"te", b"trailers"),
                (b"content-type", b"application/grpc+proto"),
                (b"user-agent", _AGENT),
            ]
            known = self._constants[path] = b"".join([literal(*pair) for pair in pairs])
        return known
