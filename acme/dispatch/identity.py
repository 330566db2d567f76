"""Who calls from another process, and what goes along with the call: the metadata of gRPC.

    acme-service                  name of the calling service
    acme-identity                 proof of it: base64(timestamp ‖ MAC), see `Identity`
    acme-principal                "service", or "service NAME": no user, but a service on its own account
    authorization                 "Bearer …": the user's token, which the callee verifies again
    x-request-id, traceparent     names of the request, and tracestate
    acme-seen                     number of the last change of the authority's that the caller knows
    acme-address                  IP address of the client at the edge
    acme-idempotency-key, acme-idempotency-fingerprint      the latter in base64
    grpc-timeout                  the time that is left

All processes of a deployment share the master key, and a proof is made with it: whoever has the key is trusted to say
which service it is. Whoever has not may call, as anybody may call the gateway: its token is verified, it is no service, and
neither its address nor a key is believed. A proof holds for one method, one token and the metadata above, for 30 seconds;
against those who read along and send it again, the connection is protected by TLS or by the folder its socket lies in.
No proof covers `acme-seen`: all that a false one brings about is a look at the authority, of which there is one at a time.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import struct
import time
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Final
from urllib.parse import quote, unquote

from acme.context import Call, IdempotencyKey, Kind, Principal
from acme.dispatch.headers import start, value
from acme.ports import Cipher, Clock
from acme.traces import TRACEPARENT, Trace, Tracer

VALID: Final = 30.0
"""Seconds that a proof holds, and that the clocks of two processes may differ."""

_PURPOSE: Final = "identity"
_TIME: Final = struct.Struct("!d")
_SEALED: Final = (
    b"acme-principal",
    b"acme-address",
    b"x-request-id",
    b"acme-idempotency-key",
    b"acme-idempotency-fingerprint",
)
"""What a proof covers beside service, path and token."""
_STARTS: Final = {
    name: start(name)
    for name in (
        b"acme-service",
        b"acme-identity",
        b"authorization",
        b"traceparent",
        b"tracestate",
        b"acme-seen",
        *_SEALED,
    )
}
_DIGITS: Final = 19
"""Of the greatest number of a change."""
_UNITS: Final = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_PRINTABLE: Final = "".join(map(chr, range(0x21, 0x25))) + "".join(map(chr, range(0x26, 0x7F)))


class Identity:
    """Makes and checks proofs: HMAC-SHA256 over service, path, time, token and metadata, with a key of its own."""

    def __init__(self, cipher: Cipher, clock: Clock) -> None:
        self._mac, self._now = cipher.mac, clock.time

    def prove(self, service: str, path: str, headers: Mapping[bytes, bytes]) -> bytes:
        """Value of `acme-identity` for a request with these headers."""
        moment = _TIME.pack(self._now())
        return base64.b64encode(moment + self._mac(_PURPOSE, _sealed(moment, service.encode(), path.encode(), headers)))

    def caller(self, path: bytes, headers: Mapping[bytes, bytes]) -> str:
        """Name of the service that calls; "" when it is not proved."""
        proof, service = headers.get(b"acme-identity"), headers.get(b"acme-service")
        if proof is None or not service:
            return ""
        try:
            given = base64.b64decode(proof, validate=True)
        except binascii.Error:
            return ""
        moment, mac = given[: _TIME.size], given[_TIME.size :]
        if len(moment) < _TIME.size or not abs(self._now() - _TIME.unpack(moment)[0]) <= VALID:
            return ""
        if not hmac.compare_digest(mac, self._mac(_PURPOSE, _sealed(moment, service, path, headers))):
            return ""
        return service.decode()


def _sealed(moment: bytes, service: bytes, path: bytes, headers: Mapping[bytes, bytes]) -> bytes:
    token = sha256(headers.get(b"authorization", b"")).digest()
    return b"\n".join([moment, service, path, token, *[headers.get(name, b"") for name in _SEALED]])


def metadata(call: Call) -> dict[bytes, bytes]:
    """What goes along with a call, without its proof."""
    headers = {b"acme-service": call.service.encode(), b"x-request-id": _written(call.request_id)}
    principal = call.principal
    if principal.kind is Kind.SERVICE:
        named = principal.id != call.service
        headers[b"acme-principal"] = b"service " + principal.id.encode() if named else b"service"
    elif call.credentials:
        headers[b"authorization"] = b"Bearer " + call.credentials.encode()
        if call.seen:
            headers[b"acme-seen"] = b"%d" % call.seen
    if call.address:
        headers[b"acme-address"] = _written(call.address)
    if caused := call.caused:
        headers[b"traceparent"] = _written(caused)
        if call.trace is not None and call.trace.state:
            headers[b"tracestate"] = _written(call.trace.state)
    if call.idempotency is not None:
        headers[b"acme-idempotency-key"] = _written(call.idempotency.key)
        headers[b"acme-idempotency-fingerprint"] = base64.b64encode(call.idempotency.fingerprint)
    return headers


def block(headers: Mapping[bytes, bytes]) -> bytes:
    """Metadata as a written block of headers."""
    return b"".join([_STARTS[name] + value(text) for name, text in headers.items()])


def service_principal(service: str, headers: Mapping[bytes, bytes]) -> Principal | None:
    """The service that calls on its own account, when a proved caller says so."""
    said = headers.get(b"acme-principal", b"").decode("latin-1")
    if not service or said.partition(" ")[0] != "service":
        return None
    return Principal(Kind.SERVICE, said.partition(" ")[2] or service)


def bearer(headers: Mapping[bytes, bytes]) -> str:
    """The user's token, "" without one."""
    scheme, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    return token.strip(" ") if scheme.lower() == "bearer" else ""


def seen(headers: Mapping[bytes, bytes]) -> int:
    """Number of the change that the caller knows; 0 when it does not say."""
    given = headers.get(b"acme-seen", b"")
    return int(given) if len(given) <= _DIGITS and given.isdigit() else 0


def idempotency(headers: Mapping[bytes, bytes]) -> IdempotencyKey | None:
    """The Idempotency-Key that came along."""
    key, fingerprint = headers.get(b"acme-idempotency-key"), headers.get(b"acme-idempotency-fingerprint")
    if key is None or fingerprint is None:
        return None
    try:
        return IdempotencyKey(text(key), base64.b64decode(fingerprint, validate=True))
    except binascii.Error:
        return None


def traced(tracer: Tracer, request_id: str, caused: str, headers: Mapping[bytes, bytes]) -> Trace | None:
    """Where a call of a proved caller is recorded. One that belongs to no trace, such as the authority's poll, is not."""
    if not tracer.on or TRACEPARENT.fullmatch(caused) is None:
        return None
    return Trace(request_id, tracer, caused, text(headers.get(b"tracestate", b"")))


def timeout_text(seconds: float) -> bytes:
    """Value of `grpc-timeout`: at most eight digits, in the finest unit that holds it."""
    if seconds < 90:
        return b"%du" % max(1, int(seconds * 1e6))
    return b"%dm" % int(seconds * 1e3) if seconds < 90_000 else b"%dS" % min(int(seconds), 99_999_999)


def deadline(headers: Mapping[bytes, bytes], otherwise: float, now: Callable[[], float] = time.monotonic) -> float:
    """`time.monotonic()` of this process until when the caller waits; `otherwise` seconds from now if it does not say.

    Raises:
        ValueError: the header cannot be read.
    """
    given = headers.get(b"grpc-timeout")
    if given is None:
        return now() + otherwise
    digits, unit = given[:-1].decode("latin-1"), given[-1:].decode("latin-1")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 8 and unit in _UNITS):
        raise ValueError("grpc-timeout is no number of at most eight digits with a unit")
    return now() + int(digits) * _UNITS[unit]


def text(value: bytes) -> str:
    """A value that `metadata` wrote."""
    return unquote(value.decode("latin-1"), errors="replace")


def _written(value: str) -> bytes:
    """Any text as a value of a header: percent-encoded where it is not printable ASCII, as `grpc-message` is."""
    if value.isascii() and value.isprintable() and "%" not in value and " " not in value:
        return value.encode()
    return quote(value, safe=_PRINTABLE, errors="replace").encode()
