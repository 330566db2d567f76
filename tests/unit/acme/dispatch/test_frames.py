"""The short way says and hears what h2 says and hears: both are given the same, and told apart by nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import FrameTooLargeError, ProtocolError
from h2.settings import SettingCodes
from hpack import Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from hypothesis import given
from hypothesis import strategies as st

from acme.dispatch.frames import Connection
from acme.dispatch.headers import Writer, written

STREAMS = (1, 3, 5)
REQUEST = [(b":method", b"POST"), (b":path", b"/acme.test.v1.Test/Do"), (b"te", b"trailers")]
HEAD = [(b":status", b"200"), (b"content-type", b"application/grpc+proto")]
TAIL = [(b"grpc-status", b"0")]
BLOCKS = [REQUEST, HEAD, TAIL, [(b":status", b"100")], [(b"content-length", b"3")], [(b"content-length", b"many")]]


class WithWritten(H2Connection):
    """h2's own way, which takes written blocks too."""

    def __init__(self, config: H2Configuration) -> None:
        super().__init__(config)
        self.encoder = Writer()


def config(*, client: bool) -> H2Configuration:
    """That of `Link`."""
    return H2Configuration(
        client_side=client,
        header_encoding=None,
        validate_outbound_headers=False,
        normalize_outbound_headers=False,
        validate_inbound_headers=False,
        normalize_inbound_headers=False,
    )


def both(*, client: bool, begun: bool) -> tuple[H2Connection, H2Connection]:
    """The short way and h2's; with exchanges under way if `begun`."""
    made = Connection(config(client=client)), WithWritten(config(client=client))
    for one in made:
        one.initiate_connection()
        hello = b"" if client else b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        one.receive_data(hello + SettingsFrame(0).serialize())
        if begun:
            for stream in STREAMS:
                if client:
                    one.send_headers(stream, written(REQUEST), end_stream=stream != 5)
                else:
                    frame = HeadersFrame(stream, Encoder().encode(REQUEST), flags=["END_HEADERS"])
                    one.receive_data(frame.serialize())
    assert made[0].data_to_send() == made[1].data_to_send()
    return made


def outcome(act: Callable[[], Any], one: H2Connection) -> tuple[object, ...]:
    """What came of it: events or "refused", and what is to be sent. Why is another question where streams have ended: h2
    says something else of those that it has forgotten, and we forget them later."""
    try:
        said: object = repr(act())
    except (ProtocolError, ValueError, KeyError, IndexError):
        said = "refused"
    return said, one.data_to_send(), one.outbound_flow_control_window, one.inbound_flow_control_window


@st.composite
def frames(draw: st.DrawFn) -> list[Frame]:
    """One frame, or those of a block in two."""
    stream = draw(st.sampled_from((*STREAMS, 7, 8)))
    data = draw(st.binary(max_size=40))
    end = draw(st.sampled_from([[], ["END_STREAM"]]))
    block = Encoder().encode(draw(st.sampled_from(BLOCKS)), huffman=draw(st.booleans()))
    match draw(st.integers(0, 9)):
        case 0 | 1:
            return [DataFrame(stream, data, flags=end)]
        case 2:
            return [DataFrame(stream, data, flags=[*end, "PADDED"], pad_length=draw(st.integers(0, 9)))]
        case 3 | 4:
            return [HeadersFrame(stream, block, flags=[*end, "END_HEADERS"])]
        case 5:
            return [HeadersFrame(stream, block, flags=[*end, "END_HEADERS", "PRIORITY"], depends_on=0)]
        case 6:
            halves = HeadersFrame(stream, block[:3], flags=end), ContinuationFrame(stream, block[3:])
            halves[1].flags.add("END_HEADERS")
            return list(halves)
        case 7:
            return [HeadersFrame(stream, data, flags=[*end, "END_HEADERS"])]  # no block, mostly
        case 8:
            return [RstStreamFrame(stream, error_code=8)]
        case _:
            others = [
                PingFrame(0, b"12345678"),
                WindowUpdateFrame(stream, window_increment=5),
                PriorityFrame(stream, depends_on=0),
                SettingsFrame(0, settings={SettingCodes.INITIAL_WINDOW_SIZE: 70000}),
                ContinuationFrame(stream, block),
            ]
            return [draw(st.sampled_from(others))]


@given(
    found=st.lists(frames(), max_size=12),
    client=st.booleans(),
    begun=st.booleans(),
    cuts=st.lists(st.integers(0, 600), max_size=6),
)
def test_what_comes_in_pieces_of_any_size_is_heard_as_h2_hears_it(
    found: list[list[Frame]], client: bool, begun: bool, cuts: list[int]
) -> None:
    ours, theirs = both(client=client, begun=begun)
    data = b"".join(frame.serialize() for several in found for frame in several)
    at = 0
    for cut in [*sorted(cut for cut in cuts if cut < len(data)), len(data)]:
        piece, at = data[at:cut], cut
        heard = outcome(lambda: ours.receive_data(piece), ours)  # noqa: B023 - called at once
        assert heard == outcome(lambda: theirs.receive_data(piece), theirs)  # noqa: B023 - called at once
        if heard[0] == "refused":
            return  # the connection has ended


SENT: dict[str, Any] = {
    "head": written(HEAD),
    "trailers": written(TAIL),
    "a head that is not written yet": HEAD,
    "a head of two frames": written([(b"long", b"x" * 20_000)]),
    "nothing": b"",
    "a message": b"abc",
    "a frame": b"x" * 16_384,
    "more than a frame": b"x" * 16_385,
}


@given(
    sent=st.lists(
        st.tuples(st.sampled_from((*STREAMS, 7, 8)), st.sampled_from(list(SENT)), st.booleans()), max_size=12
    ),
    client=st.booleans(),
    begun=st.booleans(),
)
def test_what_is_sent_are_the_bytes_that_h2_sends(sent: list[tuple[int, str, bool]], client: bool, begun: bool) -> None:
    ours, theirs = both(client=client, begun=begun)
    for stream, name, end in sent:
        content, results = SENT[name], []
        for one in (ours, theirs):
            send: Any = one.send_data if isinstance(content, bytes) else one.send_headers
            results.append(outcome(lambda: send(stream, content, end_stream=end), one))  # noqa: B023 - called at once
        assert results[0] == results[1]


def test_streams_are_counted_exactly_where_it_matters() -> None:
    ours, _ = both(client=True, begun=False)
    ours.receive_data(SettingsFrame(0, settings={SettingCodes.MAX_CONCURRENT_STREAMS: 30}).serialize())
    answer = HeadersFrame(1, Encoder().encode(HEAD), flags=["END_HEADERS", "END_STREAM"])
    for number in range(100):  # far more than 30, one after the other
        answer.stream_id = 2 * number + 1
        ours.send_headers(answer.stream_id, written(REQUEST), end_stream=True)
        ours.receive_data(answer.serialize())
    for number in range(100, 130):
        ours.send_headers(2 * number + 1, written(REQUEST), end_stream=True)
    with pytest.raises(ProtocolError):
        ours.send_headers(261, written(REQUEST), end_stream=True)


def test_streams_that_have_ended_are_forgotten() -> None:
    ours, _ = both(client=True, begun=False)
    ours.receive_data(SettingsFrame(0, settings={SettingCodes.MAX_CONCURRENT_STREAMS: 1000}).serialize())
    answer = HeadersFrame(1, Encoder().encode(HEAD), flags=["END_HEADERS", "END_STREAM"])
    for number in range(200):
        answer.stream_id = 2 * number + 1
        ours.send_headers(answer.stream_id, written(REQUEST), end_stream=True)
        ours.receive_data(answer.serialize())
    assert len(ours.streams) < 40


@pytest.mark.parametrize("first", [0, 1, 2])
def test_a_frame_that_is_too_large_is_refused_by_its_head(first: int) -> None:
    ours, _ = both(client=False, begun=True)
    head = DataFrame(1, b"x" * (ours.max_inbound_frame_size + 1)).serialize()[:9]
    ours.receive_data(head[:first])
    with pytest.raises(FrameTooLargeError):
        ours.receive_data(head[first:])
