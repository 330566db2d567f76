"""Documents of others over HTTP, by aiohttp's client: the driver of `Fetcher`.

Each is fetched on a connection of its own: who asks every few minutes has no use for one that stays. Certificates are
checked against the authorities that the machine trusts (OpenSSL's own; the variable SSL_CERT_FILE names others).
"""

from __future__ import annotations

from typing import Final

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, StreamReader, TCPConnector

from acme.errors import Unavailable
from acme.ports import Fetcher

_ASKED: Final = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "acme-platform"}
_AT_ONCE: Final = 8
"""Connections at a time."""


class HttpFetcher:
    """Keeps the port. Made by `open_fetcher`."""

    def __init__(self) -> None:
        self._session = ClientSession(
            connector=TCPConnector(limit=_AT_ONCE, force_close=True),
            cookie_jar=DummyCookieJar(),
            headers=_ASKED,
            auto_decompress=False,
            trust_env=False,
        )

    async def fetch(self, url: str, *, timeout: float, most: int) -> bytes:
        """As the port has it."""
        try:
            async with self._session.get(url, allow_redirects=False, timeout=ClientTimeout(total=timeout)) as answer:
                if answer.status != 200:
                    raise _failed(f"it was answered with {answer.status}")
                if answer.headers.get("Content-Encoding", "identity") != "identity":
                    raise _failed("the answer is packed, and was to come as it is")
                found = await _all(answer.content, most)
        except TimeoutError:
            raise _failed(f"there was no answer within {timeout:g} s") from None
        except (ClientError, OSError, ValueError) as error:
            raise _failed(type(error).__name__) from error
        return found

    async def close(self) -> None:
        """Ends what is on its way."""
        await self._session.close()


def open_fetcher(url: str) -> Fetcher:
    """The fetcher for URLs of this scheme; there is one for all. A running event loop is needed."""
    return HttpFetcher()


async def _all(stream: StreamReader, most: int) -> bytes:
    parts = bytearray()
    while part := await stream.read(most + 1 - len(parts)):
        parts += part
        if len(parts) > most:
            raise _failed(f"the answer is longer than {most} bytes")
    return bytes(parts)


def _failed(why: str) -> Unavailable:
    return Unavailable(f"A document could not be fetched: {why}.", reason="fetch_failed")
