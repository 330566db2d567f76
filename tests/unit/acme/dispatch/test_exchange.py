"""Messages in their frames."""

from __future__ import annotations

import pytest

from acme.dispatch.exchange import Exchange, framed
from acme.dispatch.serve import MESSAGE_LIMIT


def holding(*chunks: bytes) -> Exchange:
    exchange = Exchange(1)
    exchange.chunks = list(chunks)
    exchange.size = sum(map(len, chunks))
    return exchange


def test_a_message_is_put_together() -> None:
    data = framed(b"hello")
    assert data == b"\0\0\0\0\5hello"
    assert holding(data).message() == b"hello"
    assert holding(*[data[at : at + 1] for at in range(len(data))]).message() == b"hello"
    assert holding().message() is None


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\0\0", "half a message"),
        (framed(b"hello")[:-1], "half a message"),
        (framed(b"hello") + b"\0", "more than one message"),
        (b"\1" + framed(b"hello")[1:], "a compressed message"),
    ],
)
def test_what_is_no_message_is_told(data: bytes, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        holding(data).message()


def test_a_message_that_is_too_large_shows_at_its_first_bytes() -> None:
    assert holding(b"\0" + (MESSAGE_LIMIT + 1).to_bytes(4, "big")).oversized()
    assert not holding(b"\0" + MESSAGE_LIMIT.to_bytes(4, "big")).oversized()
    assert holding(b"\0\0", b"x" * (MESSAGE_LIMIT + 10)).oversized()
