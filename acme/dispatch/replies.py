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
    said = end_of(exchange)
    if said is not None:
        raise said
    try:
        message = exchange.message()
    except ValueError as error:
        raise _not_grpc(str(error)) from None
    if message is None:
        raise _not_grpc("no message")
    return message


def end_of(exchange: Exchange) -> Refused | None:
    """How an answer that is whole ended: well, or with a refusal.

    Raises:
        Lost: it is no answer of gRPC.
    """
    head = check_head(exchange)
    tail = dict(exchange.tail) if exchange.tail else head
    number = tail.get(b"grpc-status")
    if number == b"0":
        return None
    try:
        if number is None:
            raise ValueError("no grpc-status")
        return _refusal(number, tail)
    except ValueError as error:
        raise _not_grpc(str(error)) from None


def check_head(exchange: Exchange) -> Mapping[bytes, bytes]:
    """The head of an answer.

    Raises:
        Lost: it is no answer of gRPC.
    """
    head = dict(exchange.head)
    if head.get(b":status") != b"200" or not head.get(b"content-type", b"").startswith(b"application/grpc"):
        shown = head.get(b":status", b"").decode("latin-1")
        raise _not_grpc(f"HTTP status {shown or 'missing'}")
    return head


def _not_grpc(why: str) -> Lost:
    return Lost(f"the answer is not gRPC's: {why}", processed=True)


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
