"""Request bodies that are taken whole: read, bounded, and counted while they are held.

What comes in pieces is in transfers.py. Most bodies arrive with the head, in one read; those that do not are counted until
their request has been answered, so that slow senders of large bodies cannot fill the memory together (`Peers.hold`).
"""

from __future__ import annotations

import asyncio

from aiohttp.http import HttpVersion11
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestPayloadError
from multidict import istr

from acme.errors import TooLarge
from acme.gateway.problems import Rejected
from acme.gateway.server import Headers, Request
from acme.gateway.settings import GatewaySettings

_EXPECT = istr("Expect")
_LENGTH = istr("Content-Length")


async def read_body(request: Request, most: int, settings: GatewaySettings) -> bytes:
    """The whole request body.

    Raises:
        TooLarge: more than `most` bytes, announced or sent (413).
        Rejected: it came too slowly (408), is compressed (415), or is not what the headers promised (400).
        Refused: too many bytes of bodies are held already (503).
    """
    payload = request.payload
    if payload.is_eof():  # it came along with the head, as most do
        body = payload.read_nowait(-1)
        if len(body) > most:
            raise too_large(most)
        return body
    welcome(request)
    connection = request.connection
    chunks, size = [], 0
    try:
        async with asyncio.timeout(settings.body_timeout):
            while chunk := await payload.readany():
                chunks.append(chunk)
                size += len(chunk)
                if size > most:
                    raise too_large(most)
                connection.hold(len(chunk))
    except TimeoutError:
        connection.cut("slow_body")
        raise Rejected(408, "slow_body", f"The body has to arrive within {settings.body_timeout:g} seconds.") from None
    except (RequestPayloadError, HttpProcessingError):
        raise malformed() from None
    return b"".join(chunks)


def malformed() -> Rejected:
    """What is to be a body is none."""
    return Rejected(400, "malformed_body", "The body does not end where the headers say.")


def welcome(request: Request) -> None:
    """Tells a client that asks first to send its body. One that speaks HTTP/1.0 cannot have asked (RFC 9110, section
    10.1.1)."""
    if _EXPECT in request.headers and request.message.version is HttpVersion11:
        request.connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def check_size(headers: Headers, limit: int) -> None:
    """Refuses by Content-Length alone, before anything of the body is read (413)."""
    length = headers.get(_LENGTH)
    if length is not None and int(length) > limit:
        raise too_large(limit)


def too_large(limit: int) -> TooLarge:
    """The body has more than `limit` bytes."""
    return TooLarge(f"The body may have at most {limit} bytes.")
