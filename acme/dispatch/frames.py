"""h2's connection, with a short way for the frames that calls consist of.

Nearly every frame between two processes is HEADERS or DATA without padding, priority or continuation, and the blocks that we
send are written already (headers.py). h2 makes an object with two sets of flags of each frame, either way, and copies its
bytes four times. Here such frames are read where they lie and written as bytes. States and windows remain h2's, which
judges every frame; any other frame goes its way from the first byte.

Both ends of a call of which 16 are under way took 97 µs in h2, and take 46 so.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from typing import Any, Final, cast

from h2.config import H2Configuration
from h2.connection import AllowedStreamIDs, ConnectionInputs, H2Connection
from h2.events import Event
from h2.exceptions import FrameTooLargeError, ProtocolError, TooManyStreamsError
from h2.stream import StreamInputs
from hyperframe.frame import DataFrame, GoAwayFrame, HeadersFrame

from acme.dispatch.headers import Block, Reader, Writer

_HEAD: Final = Struct("!HBBBL")
"""Length (two bytes and one), type, flags, stream (RFC 9113, section 4.1)."""
_SIZE: Final = _HEAD.size
_DATA: Final = DataFrame.type
_HEADERS: Final = HeadersFrame.type
_END: Final = 0x01
_WHOLE: Final = 0x04
"""END_HEADERS."""


class _Plain:
    """A frame, as far as h2 looks at it."""

    __slots__ = ("data", "flags", "flow_controlled_length", "stream_id")

    def __init__(self, stream: int, flags: frozenset[str], data: bytes) -> None:
        self.stream_id, self.flags, self.data, self.flow_controlled_length = stream, flags, data, len(data)


class _Data(_Plain):
    __slots__ = ()


class _Headers(_Plain):
    __slots__ = ()


_PLAIN: Final[dict[tuple[int, int], tuple[type[_Plain], frozenset[str]]]] = {
    (_DATA, 0): (_Data, frozenset()),
    (_DATA, _END): (_Data, frozenset({"END_STREAM"})),
    (_HEADERS, _WHOLE): (_Headers, frozenset({"END_HEADERS"})),
    (_HEADERS, _WHOLE | _END): (_Headers, frozenset({"END_HEADERS", "END_STREAM"})),
}
"""Types and flags that go the short way, and hyperframe's words for the flags."""


class Connection(H2Connection):
    """h2's connection, also without three habits: it forgets everything at a GOAWAY, where exchanges may yet finish; it
    gathers a frame before it finds it too large; and it looks at every stream for each new one."""

    def __init__(self, config: H2Configuration) -> None:
        super().__init__(config)
        self.encoder, self.decoder = Writer(), Reader()
        self.decoder.max_header_list_size = self.DEFAULT_MAX_HEADER_LIST_SIZE
        self._frame_dispatch_table[cast(Any, _Data)] = self._receive_data_frame
        self._frame_dispatch_table[cast(Any, _Headers)] = self._receive_headers_frame
        self._fewest = 0
        """Streams that are allowed for certain; 0 when the settings may have changed."""
        self._look = 0
        """How many streams there are when it is time to forget those that have ended."""

    # ---- receiving ----------------------------------------------------------------------------------------------

    def receive_data(self, data: Any) -> list[Event]:
        """What has happened by `data`.

        Raises:
            ProtocolError, ValueError, KeyError, IndexError: the peer does not keep to HTTP/2; the latter where h2 forgets
                to say so.
        """
        events: list[Event] = []
        at, end = 0, len(data)
        buffer = self.incoming_buffer
        while at < end:
            stop = end
            if buffer._data or buffer._headers_buffer or buffer._preamble_len:
                stop = min(end, at + self._lacking())
            elif end - at >= _SIZE:
                high, low, kind, flags, stream = _HEAD.unpack_from(data, at)
                size = high << 8 | low
                stop = at + _SIZE + size
                plain = _PLAIN.get((kind, flags))
                if plain is not None and stop <= end and size <= self.max_inbound_frame_size and 0 < stream < 1 << 31:
                    made, words = plain
                    try:
                        events += self._receive_frame(cast(Any, made(stream, words, data[at + _SIZE : stop])))
                    except ProtocolError as error:
                        self._terminate_connection(error.error_code)
                        raise
                    at = stop
                    continue
            events += super().receive_data(data[at:stop])
            self._fewest = 0
            at = stop
        begun = buffer._data
        if len(begun) >= 3 and int.from_bytes(begun[:3], "big") > self.max_inbound_frame_size:
            raise FrameTooLargeError("a frame is too large")
        return events

    def _lacking(self) -> int:
        """How many bytes h2 has to be given at least before the short way may go on: the rest of what it has begun."""
        buffer = self.incoming_buffer
        begun = buffer._data
        if buffer._preamble_len:
            return buffer._preamble_len
        if len(begun) < _SIZE:
            return _SIZE - len(begun)
        return max(1, _SIZE + int.from_bytes(begun[:3], "big") - len(begun))

    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Any], list[Event]]:
        state, pending = self.state_machine.state, bytes(self._data_to_send)
        frames, events = super()._receive_goaway_frame(frame)
        self.state_machine.state = state
        self._data_to_send = bytearray(pending)
        return frames, events

    # ---- sending ------------------------------------------------------------------------------------------------

    def send_headers(
        self, stream_id: int, headers: Iterable[Any], end_stream: bool = False, *priority: Any, **named: Any
    ) -> None:
        block, stream = _written(headers), self.streams.get(stream_id)
        plain = block is not None and len(block) <= self.max_outbound_frame_size and not (priority or named)
        if block is None or not plain or not (end_stream or stream is None or not stream.state_machine.headers_sent):
            super().send_headers(stream_id, headers, end_stream, *priority, **named)
            return
        if stream is None and self.open_outbound_streams >= self.remote_settings.max_concurrent_streams:
            raise TooManyStreamsError("the peer takes no more streams")
        self.state_machine.process_input(ConnectionInputs.SEND_HEADERS)
        if stream is None:
            stream = self._begin_new_stream(stream_id, AllowedStreamIDs(self.config.client_side))
        stream.state_machine.process_input(StreamInputs.SEND_HEADERS)
        if end_stream:
            stream.state_machine.process_input(StreamInputs.SEND_END_STREAM)
        self._write(_HEADERS, _WHOLE | _END if end_stream else _WHOLE, stream_id, block)

    def send_data(self, stream_id: int, data: Any, end_stream: bool = False, pad_length: Any = None) -> None:
        size, stream = len(data), self.streams.get(stream_id)
        room = min(self.outbound_flow_control_window, self.max_outbound_frame_size)
        if stream is None or not 0 < size <= min(room, stream.outbound_flow_control_window) or pad_length is not None:
            super().send_data(stream_id, data, end_stream, pad_length)
            return
        self.state_machine.process_input(ConnectionInputs.SEND_DATA)
        stream.state_machine.process_input(StreamInputs.SEND_DATA)
        if end_stream:
            stream.state_machine.process_input(StreamInputs.SEND_END_STREAM)
        stream.outbound_flow_control_window -= size
        self.outbound_flow_control_window -= size
        self._write(_DATA, _END if end_stream else 0, stream_id, data)

    def _write(self, kind: int, flags: int, stream: int, body: bytes) -> None:
        size = len(body)
        self._data_to_send += _HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream)
        self._data_to_send += body

    # ---- counting -----------------------------------------------------------------------------------------------

    def _open_streams(self, remainder: int) -> int:
        """How many streams are open; no fewer, and more only while that makes no difference."""
        there = len(self.streams)
        if there < self._fewest and there < self._look:
            return there
        count = super()._open_streams(remainder)
        self._look = 2 * len(self.streams) + 16
        self._fewest = min(self.local_settings.max_concurrent_streams, self.remote_settings.max_concurrent_streams)
        return count


def _written(headers: Iterable[Any]) -> bytes | None:
    """The block, if it is written already."""
    if type(headers) is list and len(headers) == 1 and type(headers[0]) is Block:
        block: bytes = headers[0][1]
        return block
    return None
