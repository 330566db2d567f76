"""What hostile workers do with a request."""

from __future__ import annotations

from typing import Final

from h2.errors import ErrorCodes

from acme.contracts.authority.v1 import ChangesReply
from acme.dispatch.exchange import framed
from tests.unit.acme.dispatch.town import Act, Wild

GOOD: Final = bytes(ChangesReply(latest=99))
"""A reply that is none of it."""


def half(wild: Wild, stream: int) -> None:
    wild.headers(stream)
    wild.data(stream, framed(GOOD)[:-1])
    wild.headers(stream, ("grpc-status", "0"), end=True, first=False)


def half_and_gone(wild: Wild, stream: int) -> None:
    wild.headers(stream)
    wild.data(stream, framed(GOOD)[:-1])
    wild.writer.close()


def without_trailers(wild: Wild, stream: int) -> None:
    wild.headers(stream)
    wild.data(stream, framed(GOOD), end=True)


def without_a_message(wild: Wild, stream: int) -> None:
    wild.headers(stream)
    wild.headers(stream, ("grpc-status", "0"), end=True, first=False)


def two_messages(wild: Wild, stream: int) -> None:
    wild.headers(stream)
    wild.data(stream, framed(GOOD) * 2)
    wild.headers(stream, ("grpc-status", "0"), end=True, first=False)


def compressed(wild: Wild, stream: int) -> None:
    wild.headers(stream)
    wild.data(stream, b"\1" + framed(GOOD)[1:])
    wild.headers(stream, ("grpc-status", "0"), end=True, first=False)


def claims_too_much(wild: Wild, stream: int) -> None:
    wild.headers(stream)
    wild.data(stream, b"\0\xff\xff\xff\xff" + b"x" * 100)


def http_503(wild: Wild, stream: int) -> None:
    wild.h2.send_headers(stream, [(":status", "503"), ("content-type", "text/html")])
    wild.data(stream, b"<h1>no</h1>", end=True)


def html(wild: Wild, stream: int) -> None:
    wild.h2.send_headers(stream, [(":status", "200"), ("content-type", "text/html")])
    wild.data(stream, b"<h1>yes</h1>", end=True)


DETAILS = ("grpc-status-details-bin", "/////w")

MAYBE: dict[str, Act] = {
    "the connection is reset": lambda wild, stream: wild.drop(),
    "the connection is closed": lambda wild, stream: wild.writer.close(),
    "the stream is reset": lambda wild, stream: wild.reset(stream, ErrorCodes.INTERNAL_ERROR),
    "garbage in the middle": lambda wild, stream: wild.writer.write(b"\xff" * 100),
    "half a reply": half,
    "half a reply, then gone": half_and_gone,
    "no trailers": without_trailers,
    "no message": without_a_message,
    "two messages": two_messages,
    "a compressed message": compressed,
    "a reply that says it is too large": claims_too_much,
    "the wrong message": lambda wild, stream: wild.answer(stream, b"\x0a\xff\xff"),
    "an unknown status": lambda wild, stream: wild.refuse(stream, "99"),
    "a status that is no number": lambda wild, stream: wild.refuse(stream, "okay"),
    "details that are none": lambda wild, stream: wild.refuse(stream, "3", DETAILS),
    "details that are not base64": lambda wild, stream: wild.refuse(stream, "3", ("grpc-status-details-bin", "*")),
    "HTTP 503": http_503,
    "a page": html,
}
"""What leaves open whether it was done."""

NEVER: dict[str, Act] = {
    "the stream is refused": lambda wild, stream: wild.reset(stream, ErrorCodes.REFUSED_STREAM),
    "GOAWAY before it": lambda wild, stream: wild.goaway(stream - 2),
}
"""What says that it was not done."""
