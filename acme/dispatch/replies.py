"""What came back from another process: a message, a refusal, or nothing that can be understood."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from urllib.parse import unquote

from acme.dispatch import status
from acme.dispatch.exchange import Exchange, Lost
from acme.errors import Refused


def message_of(exchange: Exchange) -> bytes:
    """The message of an answer.

    Raises:
        Refused: the callee refused.
        Lost: it is no answer of gRPC.
    """
    head = dict(exchange.head)
    if head.get(b":status") != b"200" or not head.get(b"content-type", b"").startswith(b"application/grpc"):
        shown = head.get(b":status", b"").decode("latin-1")
        raise Lost(f"the answer is not gRPC's: HTTP status {shown or 'missing'}", processed=True)
    tail = dict(exchange.tail) if exchange.tail else head
    number = tail.get(b"grpc-status")
    try:
        if number == b"0":
            message = exchange.message()
            if message is None:
                raise ValueError("no message")
            return message
        if number is None:
            raise ValueError("no grpc-status")
        refusal = _refusal(number, tail)
    except ValueError as error:
        raise Lost(f"the answer is not gRPC's: {error}", processed=True) from None
    raise refusal


def _refusal(number: bytes, tail: Mapping[bytes, bytes]) -> Refused:
    if not number.isdigit() or len(number) > 2:
        raise ValueError("grpc-status is no number")
    details = tail.get(b"grpc-status-details-bin")
    message = unquote(tail.get(b"grpc-message", b"").decode("latin-1"), errors="replace")
    try:
        data = None if details is None else base64.b64decode(details + b"=" * (-len(details) % 4), validate=True)
    except binascii.Error:
        raise ValueError("grpc-status-details-bin is not base64") from None
    return status.received(int(number), message, data)
