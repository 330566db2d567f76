"""One client connection: aiohttp's, with limits of time and room that aiohttp has not.

The parser is fed as aiohttp feeds it. What is added looks at what came of it: a head that is not whole yet, of which
`Peers` counts the time, and a body that turned out to be none, whose reader is told at once.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any, Final, cast

from aiohttp import web
from aiohttp.helpers import set_exception
from aiohttp.http import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import RequestHandler, RequestPayloadError, _ErrInfo

from acme.errors import Refused
from acme.gateway.addresses import network
from acme.gateway.clients import Client, Clients
from acme.gateway.one_task import InOneTask
from acme.gateway.peers import Peers
from acme.gateway.problems import Rejected, unread
from acme.gateway.repeated import Known, known
from acme.gateway.sending import UNSENT, Sending
from acme.gateway.settings import LARGEST_HEAD

PLAIN_END: Final = b"\r\n0\r\n\r\n"
"""How a chunked body without trailers ends, after some data: no line of trailers is a zero."""
STRANGE: Final = 8
"""How often in a row a connection may get another head than the one that is known; then its client says something else each
time, such as the number of a trace, and nothing is remembered any more."""

_feed: Final = RequestHandler.data_received


class Connection(Sending):
    """One client connection."""

    __slots__ = (
        "_answer",
        "_clients",
        "_heard",
        "_strange",
        "_turn_away",
        "_wire",
        "address",
        "came",
        "client",
        "head_until_id",
        "known",
        "network",
        "put_off",
        "since",
    )

    def __init__(
        self,
        manager: Any,
        answer: Callable[[Any, Refused], Any],
        turn_away: Callable[[str, str], bytes],
        peers: Peers,
        **options: Any,
    ) -> None:
        """`manager` is the `Server`. `answer` makes the reply to what cannot be read; `turn_away` that, in bytes, to a
        client without a request."""
        super().__init__(manager, **options)
        self._answer, self._turn_away, self._peers = answer, turn_away, peers
        self.head_until_id, self._clients = manager.heads.of, cast("Clients | None", manager.clients)
        self.client: Client | None = None
        """The peer's certificate, where it showed one, and whom that stands for."""
        self.address = self.network = ""
        """IP address of the peer, and what counts as one address for limits. Forwarded headers are not looked at."""
        self.secure = False  # whether it is HTTPS
        self.since = 0.0
        """When it began to wait for a head; 0 where the last one came whole."""
        self.put_off = b""
        """A request that waits in line (`queues.py`), as it came."""
        self.came = 0.0
        """When the next request came, where it has waited in line."""
        self._heard = self._held = 0
        self._last = b""  # what was read last, until it is answered
        self.known: Known | None = None
        """The head that the parser has read last, and nothing else since."""
        self._strange = 0  # how often in a row another head came than was known
        self._wire: asyncio.Transport | None = None  # aiohttp forgets its own when it closes it

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = transport.get_extra_info("peername")
        self.address = address = peer[0].removeprefix("::ffff:") if peer else ""
        self.network = network(address)
        self._wire = wire = cast(asyncio.Transport, transport)
        self.secure = wire.get_extra_info("sslcontext") is not None
        if not self._peers.admit(self, address):
            self._force_close = True  # what still comes is not read
            wire.write(self._turn_away("per_address", "Too many connections from your address: close some."))
            wire.close()
            return
        super().connection_made(transport)
        # A transport keeps the whole of what was written until its last byte leaves.
        wire.set_write_buffer_limits(UNSENT, 0)
        if self._clients is not None:
            self.client = self._clients.of(transport)
        if sys.version_info < (3, 12):
            # The connection's own task has been made, and has not begun.
            self._loop = cast(asyncio.AbstractEventLoop, InOneTask(self._loop))

    def connection_lost(self, exc: BaseException | None) -> None:
        self._wire = None
        self.put_off = b""
        super().connection_lost(exc)
        self._let_go()
        self._peers.gone(self)

    # ---- what comes ---------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        # Every request pays for this: 0.1 µs where its head comes whole, and alone.
        serving, messages, before = self._current_request, self._messages, self.known
        if self._peers.sift is None or serving is not None or messages:
            if before is not None and serving is None and not messages and self._repeated(before, data):
                return
            self._parse(data)
        elif self._sifted(data):
            return
        if serving is None and len(messages) == 1:
            self._last = data
            if self.since or len(data) > LARGEST_HEAD:
                self._whole()
            self._learn(before, data)
        else:
            self._otherwise(cast(Any, serving), data)

    def _learn(self, before: Known | None, data: bytes) -> None:
        """The parser has made one request of what came; `before` is the head that was known."""
        if self._strange < STRANGE:
            self._strange += before is not None
            self.known = known(data, *self._messages[0])

    def _parse(self, data: bytes) -> None:
        """Only a head that is known, and nothing after it, is not given to the parser."""
        self.known = None
        _feed(self, data)

    def _repeated(self, before: Known, data: bytes) -> bool:
        """Takes a request that needs no parser."""
        waiter = self._waiter
        if waiter is None or waiter.done() or self._close or self._force_close:
            return False
        message = before.read(data)
        if message is None:
            return False
        self._last, self._strange = data, 0
        self._messages.append((message, EMPTY_PAYLOAD))
        waiter.set_result(None)
        return True

    def _otherwise(self, serving: Any, data: bytes) -> None:
        """What came is not one head alone, of a request that begins at once."""
        messages = self._messages
        self._last = data if len(data) >= len(PLAIN_END) else self._last[-len(PLAIN_END) :] + data
        if messages:
            if self.since:
                self._whole()
            if type(messages[-1][0]) is _ErrInfo:
                self._broken(serving)
        elif serving is None:
            self._more(len(data))

    def _sifted(self, data: bytes) -> bool:
        """Takes what has come while there is too much to do; whether it was a request that has been refused here, or waits
        in line. Nobody was woken for that."""
        if self.put_off:  # something comes after it, and that is not looked through
            self.take_up(0.0)
            self._parse(data)
            return False
        waiter, skim, wire = self._waiter, self._peers.skim, self.transport
        if waiter is not None and not (
            self._heard or self._paused or self._upgraded or self._close or self._force_close
        ):
            refusal = None if skim is None or wire is None else skim(self, data)
            if refusal is not None and wire is not None:
                if self.since:
                    self._awaited()
                if refusal:
                    self._turned_down(wire, refusal)
                else:
                    self.put_off = data
                return True
        self._waiter = None
        try:
            self._parse(data)
        finally:
            self._waiter = waiter
        messages = self._messages
        if len(messages) == 1 and not (self._paused or self._upgraded):
            if self.since or len(data) > LARGEST_HEAD:
                self._whole()
            sift, parser = self._peers.sift, self._parser
            if sift is not None and wire is not None and parser is not None:
                refusal = sift(self, *messages[0])
                if refusal is not None:
                    messages.clear()
                    parser.message_consumed()
                    self._turned_down(wire, refusal)
                    return True
        if messages and waiter is not None and not waiter.done():
            waiter.set_result(None)
        return False

    def take_up(self, came: float) -> None:
        """What waits in line is served from now on; it came at `came`, by `time.monotonic()`."""
        data, self.put_off, self.came = self.put_off, b"", came
        before = self.known
        if before is not None and self._repeated(before, data):  # the parser has got nothing since
            return
        self._parse(data)
        self._last = data
        if len(self._messages) == 1:
            self._learn(before, data)

    def turn_down(self) -> None:
        """What waits in line is refused."""
        data, self.put_off = self.put_off, b""
        if self.transport is not None:
            self._turned_down(self.transport, self._peers.refusal(self, data))

    def _turned_down(self, wire: asyncio.Transport, refusal: bytes) -> None:
        """A request is refused here, and the connection waits for the next."""
        self._next_keepalive_close_time = close = self._loop.time() + self._keepalive_timeout
        if self._keepalive_handle is None:
            self._keepalive = True
            self._keepalive_handle = self._loop.call_at(close, self._process_keepalive)
        wire.write(refusal)

    @property
    def ended_plainly(self) -> bool:
        """Whether the last that came was the end of a chunked body, without trailers, and nothing after it."""
        return self._last.endswith(PLAIN_END) and not self._messages

    def _more(self, size: int) -> None:
        """A piece of a head has come, and not the end of it; or of the body of a request that has been answered."""
        if (self._waiter is None and not self.since) or self._upgraded or self._force_close or self._close or not size:
            return
        if not self.since:
            self._peers.begin(self)
        self._heard += size
        if self._heard > LARGEST_HEAD:
            self._refuse(_too_large())

    def _whole(self) -> None:
        """A head is whole that came in pieces, or in one that is large."""
        self._awaited()
        message = self._messages[0][0]
        if isinstance(message, RawRequestMessage):
            lines = sum(len(name) + len(value) + 4 for name, value in message.raw_headers)
            if len(message.path) + lines > LARGEST_HEAD:
                self._messages.clear()
                self._refuse(_too_large())

    def _broken(self, serving: Any) -> None:
        """What came is no HTTP. Where it was to be a body, nothing more of that comes: its reader need not wait."""
        payloads = [payload for _, payload in self._messages]
        if serving is not None:
            payloads.insert(0, serving.payload)
        for payload in payloads:
            if not payload.is_eof():
                set_exception(payload, RequestPayloadError("malformed"))

    def _refuse(self, refusal: Refused) -> None:
        """Answers, in the place of what cannot become a request, and ends the connection."""
        self._awaited()
        self._messages.append((_ErrInfo(400, refusal, ""), EMPTY_PAYLOAD))
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _awaited(self) -> None:
        """It waits for no head any more."""
        self.since, self._heard = 0.0, 0
        self._peers.waiting.discard(self)

    # ---- time and room ------------------------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Whether no request is being served or waits."""
        return self._current_request is None and not self._messages and not self.put_off

    @property
    def rested(self) -> float | None:
        """Since when it has waited for a next request; `None` while there is one, or a part of one."""
        return None if self._heard or not self.idle or self._waiter is None else self._next_keepalive_close_time

    def late(self) -> None:
        """A head has not come in time: whoever has sent a part of it is told."""
        if not self.idle:
            return
        self.cut("slow_head")
        if self._heard:
            told = f"The head of a request has to arrive within {self._peers.head_timeout:g} seconds."
            self._refuse(Rejected(408, "slow_head", told))
        else:
            self.force_close()

    def rest(self) -> None:
        """It ends, being idle."""
        self.force_close()

    def drop(self, why: str) -> None:
        """It ends now."""
        self.cut(why)
        if self._wire is not None:
            self._wire.abort()

    def cut(self, why: str) -> None:
        """Counts that the client is too slow."""
        self._peers.cut.bind(why).add()

    def hold(self, size: int) -> None:
        """Counts so many bytes of a body, until its request has been answered.

        Raises:
            Unavailable: too many are held already, by all connections together (503).
        """
        self._peers.hold(size)
        self._held += size

    def force_close(self) -> None:
        super().force_close()
        self._left()

    def _left(self) -> None:  # the client gets some time for that
        wire = self._wire
        if wire is not None and wire.is_closing() and wire.get_write_buffer_size():
            self._peers.leave(self)

    def _process_keepalive(self) -> None:
        if self._heard or self.put_off:  # a request is coming, and has a limit of its own
            self._keepalive_handle = None
            return
        super()._process_keepalive()

    # ---- what goes wrong ---------------------------------------------------------------------------------------------

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What aiohttp refuses itself, such as a broken request line. Its message quotes the client's bytes, and an
        unexpected error's is for nobody: neither is sent."""
        refusal = exc if isinstance(exc, Refused) else unread(exc)
        if refusal is None:
            self.logger.error("unexpected error in the HTTP server", exc_info=exc)
            refusal = Rejected(500, "internal", "Something went wrong on our side.")
        return cast(web.StreamResponse, self._answer(request, refusal))


def _too_large() -> Rejected:
    return Rejected(431, "header_too_large", f"The head of a request may have at most {LARGEST_HEAD} bytes.")
