"""What an answer says."""

from __future__ import annotations

import base64

import pytest

from acme.dispatch import status
from acme.dispatch.exchange import Exchange, Lost, framed
from acme.dispatch.headers import Header
from acme.dispatch.replies import message_of
from acme.errors import Conflict, NotFound

HEAD: list[Header] = [(b":status", b"200"), (b"content-type", b"application/grpc+proto")]


def answer(*tail: Header, head: list[Header] | None = None, data: bytes = b"") -> Exchange:
    exchange = Exchange(1)
    exchange.head, exchange.tail = HEAD if head is None else head, tail
    if data:
        exchange.chunks = [data[:3], data[3:]]
    return exchange


def test_a_message_with_status_0_is_the_reply() -> None:
    assert message_of(answer((b"grpc-status", b"0"), data=framed(b"reply"))) == b"reply"
    assert message_of(answer((b"grpc-status", b"0"), data=framed(b""))) == b""


def test_a_refusal_comes_in_trailers_or_alone() -> None:
    details = base64.b64encode(status.encode(NotFound("Gone.", reason="gone"))).rstrip(b"=")
    told: list[Header] = [(b"grpc-status", b"5"), (b"grpc-message", b"no"), (b"grpc-status-details-bin", details)]
    for exchange in (answer(*told), answer(head=[*HEAD, *told]), answer(*told, data=framed(b"reply"))):
        with pytest.raises(NotFound) as caught:
            message_of(exchange)
        assert (caught.value.reason, caught.value.message) == ("gone", "Gone.")


def test_a_refusal_without_details_has_its_message_decoded() -> None:
    with pytest.raises(Conflict, match=r"^ü!$"):
        message_of(answer((b"grpc-status", b"10"), (b"grpc-message", b"%C3%BC!")))


@pytest.mark.parametrize(
    "exchange",
    [
        answer(head=[]),
        answer(head=[(b":status", b"502"), (b"content-type", b"application/grpc")]),
        answer(head=[(b":status", b"200"), (b"content-type", b"text/html")]),
        answer(),
        answer((b"grpc-status", b"")),
        answer((b"grpc-status", b"-1")),
        answer((b"grpc-status", b"17")),
        answer((b"grpc-status", b"0")),
        answer((b"grpc-status", b"0"), data=framed(b"reply")[:-1]),
        answer((b"grpc-status", b"0"), data=b"\0\0\0"),
        answer((b"grpc-status", b"5"), (b"grpc-status-details-bin", b"*")),
        answer((b"grpc-status", b"5"), (b"grpc-status-details-bin", b"////")),
    ],
)
def test_everything_else_leaves_the_outcome_open(exchange: Exchange) -> None:
    with pytest.raises(Lost) as caught:
        message_of(exchange)
    assert caught.value.processed
