"""gRPC's exchanges over one HTTP/2 connection: the way of both `remote.py` and `server.py`.

h2 speaks the protocol, this moves its bytes. grpclib's own client and server stand on the same library; they are not used
because of what a caller has to know: whether a request was certainly not processed (GOAWAY, REFUSED_STREAM, never sent),
since only such a one may be sent again whatever it does. Beyond that, a reply that is too large is refused at its first
bytes instead of being gathered, a connection that is told to go away finishes what it has, and headers, message and
trailers leave in one write.

- What one exchange may keep in memory is a message's limit. Bytes of small messages count for the connection's window until
  their exchange ends, up to three quarters of it. Those beyond, and those of large ones, do not, or many messages, each
  half there, would wait for each other.
- A stream of messages (inbox.py) keeps what its own window holds, whose bytes are credited as they are read. It takes
  nothing of the connection's window, so that one that nobody reads stops none of the others.
- Names and values of headers are bytes, and blocks of them are written by headers.py.

gRPC over HTTP/2: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md; HTTP/2: RFC 9113; HPACK: RFC 7541.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from acme.dispatch.exchange import Exchange, Lost
from acme.dispatch.frames import Connection
from acme.dispatch.headers import Header
from acme.dispatch.inbox import Inbox
from acme.dispatch.serve import MESSAGE_LIMIT

WINDOW: Final = 256 * 1024
"""Bytes that an exchange may send unread; a message that is larger gets more. So many are kept for each slow reader."""
CONNECTION_WINDOW: Final = 64 * 1024 * 1024
"""Bytes in flight to us on one connection."""
STREAMS: Final = 10_000
"""Exchanges at a time on one connection that we accept;"""
FOR_CALLS: Final = 1000
"""so many of them are for calls that do not stream: who listens for hours does not keep others from asking."""
_RESERVE: Final = CONNECTION_WINDOW // 4
"""Bytes of it that nothing keeps;"""
_BATCH: Final = _RESERVE // 2
"""so many are given back at once, which has to leave more than a frame."""
_FRAME: Final = 1024 * 1024


class Link(asyncio.Protocol):
    """One connection, either end of it. `lost` is called once, when it has ended, with the reason."""

    def __init__(self, *, client: bool, window: int, lost: Callable[[Link, str], None]) -> None:
        config = H2Configuration(
            client_side=client,
            header_encoding=None,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
            validate_inbound_headers=False,  # h2 ends the whole connection for one blank too many
            normalize_inbound_headers=False,
        )
        self.h2: Final = Connection(config)
        self.exchanges: Final[dict[int, Exchange]] = {}
        self.closed = False
        self.draining = False
        """Told to take no new exchanges."""
        self.heard = 0.0
        """`time.monotonic()` when the last bytes came."""
        self.pinged = 0.0
        """When the ping was sent that nothing has come since; 0 for none."""
        self._client, self._window, self._lost = client, window, lost
        self._transport: asyncio.Transport | None = None
        self._paused = False
        self._waiting: set[asyncio.Future[None]] = set()
        self.why = "the connection was closed"
        """How the connection ended."""
        self._credit = 0
        self._on: dict[type[Event], Callable[[Any], None]] = {
            DataReceived: self._data,
            StreamEnded: self._ended,
            StreamReset: self._reset,
            TrailersReceived: self._trailers,
            ConnectionTerminated: self._goaway,
        }

    # ---- asyncio.Protocol ---------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.heard = time.monotonic()
        connection = self.h2
        values: dict[SettingCodes | int, int] = {
            SettingCodes.ENABLE_PUSH: 0,
            SettingCodes.INITIAL_WINDOW_SIZE: self._window,
            SettingCodes.MAX_FRAME_SIZE: _FRAME,
            SettingCodes.MAX_CONCURRENT_STREAMS: STREAMS,
            SettingCodes.MAX_HEADER_LIST_SIZE: H2Connection.DEFAULT_MAX_HEADER_LIST_SIZE,
        }
        if not self._client:
            del values[SettingCodes.ENABLE_PUSH]
        connection.local_settings = Settings(client=self._client, initial_values=cast(Any, values))
        connection.max_inbound_frame_size = _FRAME
        connection.initiate_connection()
        connection.increment_flow_control_window(CONNECTION_WINDOW - 65535)
        self.flush()

    def data_received(self, data: bytes) -> None:
        self.heard, self.pinged = time.monotonic(), 0.0
        try:
            events = self.h2.receive_data(data)
        except (ProtocolError, ValueError, KeyError, IndexError) as error:
            self.abort(f"the peer does not speak HTTP/2: {type(error).__name__}")
            return
        for event in events:
            action = self._on.get(type(event))
            if action is not None:
                action(event)
        self._after()
        self.flush()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._wake()

    def eof_received(self) -> None:
        self.why = "the peer closed the connection"

    def connection_lost(self, error: Exception | None) -> None:
        if self.closed:
            return
        self.closed = True
        why = self.why if error is None else f"the connection broke: {type(error).__name__}"
        for exchange in list(self.exchanges.values()):
            self._fail(exchange, Lost(why, processed=True))
        self._wake()
        self._lost(self, why)

    # ---- events -------------------------------------------------------------------------------------------------

    def _data(self, event: DataReceived) -> None:
        exchange = self.exchanges.get(event.stream_id)
        if exchange is None:
            self._give_credit(event.flow_controlled_length or 0)
            return
        size = event.flow_controlled_length or 0
        if exchange.inbox is not None:
            self._give_credit(size)
            exchange.inbox.feed(event.data or b"", size)
            return
        if exchange.wide or self.h2.inbound_flow_control_window < _RESERVE:
            self._give_credit(size)
        else:
            exchange.credit += size
        if event.data:
            exchange.chunks.append(event.data)
            exchange.size += len(event.data)
            if exchange.oversized():
                self._oversized(exchange)
            elif exchange.size > self._window // 2 and not exchange.wide:
                exchange.wide = True
                self.widen(exchange, MESSAGE_LIMIT)
                self._give_credit(exchange.credit)
                exchange.credit = 0

    def _ended(self, event: StreamEnded) -> None:
        exchange = self.exchanges.get(event.stream_id)
        if exchange is not None:
            exchange.ended = True
            if exchange.inbox is not None:
                exchange.inbox.end()
                self._wake()
            else:
                self._whole(exchange)

    def _reset(self, event: StreamReset) -> None:
        exchange = self.exchanges.get(event.stream_id)
        if exchange is not None:
            refused = event.error_code == ErrorCodes.REFUSED_STREAM
            self._fail(exchange, Lost(f"the peer reset the stream ({event.error_code!r})", processed=not refused))

    def _trailers(self, event: TrailersReceived) -> None:
        exchange = self.exchanges.get(event.stream_id)
        if exchange is not None:
            exchange.tail = cast(Sequence[Header], event.headers)

    def _goaway(self, event: ConnectionTerminated) -> None:
        self.draining = True
        self.why = f"the peer sent GOAWAY ({event.error_code!r})"
        for exchange in list(self.exchanges.values()):
            if exchange.id > (event.last_stream_id or 0) and self._client:
                self._fail(exchange, Lost(self.why, processed=False))
        self._wake()
        self._rest()

    def _after(self) -> None:
        """All events of one read have been seen."""
        if self._waiting:
            self._wake()  # a window may have grown

    def _oversized(self, exchange: Exchange) -> None:
        raise NotImplementedError

    def _whole(self, exchange: Exchange) -> None:
        raise NotImplementedError

    def _fail(self, exchange: Exchange, trouble: Lost) -> None:
        raise NotImplementedError

    def _rest(self) -> None:
        """Closes the connection once it is told to go away and has nothing to do."""
        if self.draining and not self.exchanges and not self.closed:
            self.close()

    # ---- sending ------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Hands to the transport what h2 has to send."""
        data = self.h2.data_to_send()
        if data and self._transport is not None:
            self._transport.write(data)

    def fits(self, stream: int, size: int) -> bool:
        """Whether a message of `size` bytes can go out now and in one frame."""
        connection = self.h2
        return (
            not self._paused
            and size <= connection.max_outbound_frame_size
            and size <= connection.local_flow_control_window(stream)
        )

    async def send(self, exchange: Exchange, data: bytes, *, end: bool) -> None:
        """Sends data in as many frames as it takes, waiting for the peer and the transport.

        Raises:
            ProtocolError: the stream has been closed.
        """
        at, size = 0, len(data)
        while True:
            if self.closed:
                return
            room = 0
            if not self._paused:
                room = min(self.h2.local_flow_control_window(exchange.id), self.h2.max_outbound_frame_size)
            if room <= 0:
                await self.change()
                continue
            chunk = data[at : at + room]
            at += len(chunk)
            self.h2.send_data(exchange.id, chunk, end_stream=end and at == size)
            self.flush()
            if at == size:
                exchange.sent = end
                return

    def no_more(self, exchange: Exchange) -> None:
        """Says that nothing more will be sent.

        Raises:
            ProtocolError: the stream has been closed.
        """
        if not self.closed:
            self.h2.end_stream(exchange.id)
            exchange.sent = True
            self.flush()

    async def change(self) -> None:
        """Waits until something may be possible that was not: a window, a place for a stream, room to write."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            await future
        finally:
            self._waiting.discard(future)

    def _wake(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
        self._waiting.clear()

    def reset(self, exchange: Exchange, code: ErrorCodes) -> None:
        """Ends an exchange from this side, whatever its state."""
        if not self.closed:
            try:
                self.h2.reset_stream(exchange.id, code)
            except ProtocolError:
                return  # it has ended by itself
            self.flush()

    def forget(self, exchange: Exchange) -> None:
        """The exchange has ended: its bytes are credited, its place is free."""
        if self.exchanges.pop(exchange.id, None) is not None:
            self._give_credit(exchange.credit)
            if self._waiting:
                self._wake()
            if self.draining:
                self._rest()

    def receive(self, exchange: Exchange) -> Inbox:
        """From now on, the messages of an exchange are read one by one."""
        exchange.inbox = Inbox(self._window, lambda size: self.widen(exchange, size))
        return exchange.inbox

    def widen(self, exchange: Exchange, size: int) -> None:
        """Lets the peer send more of an exchange."""
        if size > 0 and not self.closed and not exchange.ended:
            with contextlib.suppress(ProtocolError):  # it has been closed
                self.h2.increment_flow_control_window(size, exchange.id)
            self.flush()

    def _give_credit(self, size: int) -> None:
        self._credit += size
        if self._credit >= _BATCH and not self.closed:
            self.h2.increment_flow_control_window(self._credit)
            self._credit = 0
            self.flush()

    def close(self) -> None:
        """Closes the connection once what was written is gone."""
        if self._transport is not None:
            self._transport.close()

    def abort(self, why: str) -> None:
        """Gives the connection up."""
        if self.closed or self._transport is None:
            return
        self.why = why
        self.flush()
        self._transport.abort()
        self.connection_lost(None)

    def peer(self) -> Any:
        """What the transport knows of the peer's certificate; `None` without TLS."""
        return self._transport.get_extra_info("peercert") if self._transport is not None else None
