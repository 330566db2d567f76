"""Which pages of other origins may call: CORS, by the Fetch standard (https://fetch.spec.whatwg.org/#http-cors-protocol).

Origins are compared whole, and never by a pattern. A preflight is answered here, before anybody is authenticated, with the
methods and headers that the contracts have for its path; whoever's origin is not allowed gets no header that would let a
browser go on. Every answer of an origin that is allowed says so, refusals included, so that the page can read them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from multidict import istr

from acme.contract import Service
from acme.gateway.binding import Lazy
from acme.gateway.endpoints import Fixed
from acme.gateway.events import names_event
from acme.gateway.parts import parts
from acme.gateway.routing import Leaf
from acme.gateway.server import Headers
from acme.gateway.settings import CorsSettings

_ORIGIN: Final = istr("Origin")
_METHOD: Final = istr("Access-Control-Request-Method")
_VARY: Final = b"Vary: Origin\r\n"
_EXPOSED: Final = frozenset(
    {"ETag", "RateLimit", "RateLimit-Policy", "Retry-After", "WWW-Authenticate", "X-Request-Id"}
)
_OF_PARTS: Final = frozenset({"Accept-Ranges", "Content-Range"})
_ALWAYS: Final = frozenset({"traceparent", "X-Request-Id", "X-Request-Timeout"})


class Cors:
    """Header lines for those who ask from a page."""

    def __init__(self, settings: CorsSettings, services: Iterable[Service]) -> None:
        methods = [method for service in services for method in service.methods if method.routes]
        said = {f.header for method in methods for f in method.reply.fields if f.header and not names_event(f)}
        exposed = sorted(_EXPOSED | said | (_OF_PARTS if any(map(parts, methods)) else frozenset()))
        self._any = "*" in settings.origins
        credentials = "Access-Control-Allow-Credentials: true\r\n" if settings.credentials else ""
        vary = "" if self._any else _VARY.decode()
        self._allowed = {
            origin: f"Access-Control-Allow-Origin: {origin}\r\n{credentials}{vary}".encode()
            for origin in settings.origins
        }
        self._exposed = f"Access-Control-Expose-Headers: {', '.join(exposed)}\r\n".encode()
        self._max_age = settings.max_age
        self._paths: dict[str, bytes] = {}

    def lines(self, headers: Headers) -> bytes:
        """For every answer."""
        allowed = self._of(headers)
        if allowed is None:
            return b"" if self._any else _VARY
        return allowed + self._exposed

    def asked(self, method: str, headers: Headers) -> bool:
        """Whether a request is a preflight."""
        return method == "OPTIONS" and _ORIGIN in headers and _METHOD in headers

    def preflight(self, leaf: Leaf[Fixed | Lazy], headers: Headers) -> bytes:
        """What its answer says beside `lines`: for an origin that is not allowed, nothing."""
        if self._of(headers) is None:
            return b""
        lines = self._paths.get(leaf.template)
        if lines is None:
            taken = {name for target in leaf.targets.values() for name in _taken(target)}
            lines = self._paths[leaf.template] = (
                f"Access-Control-Allow-Methods: {leaf.allow}\r\n"
                f"Access-Control-Allow-Headers: {', '.join(sorted(taken | _ALWAYS, key=str.lower))}\r\n"
                f"Access-Control-Max-Age: {self._max_age}\r\n"
            ).encode()
        return lines

    def _of(self, headers: Headers) -> bytes | None:
        # aiohttp gives what it could not read as a request no headers at all, in a plain dict.
        origins = headers.getall(_ORIGIN, ()) if headers else ()
        if len(origins) != 1:
            return None
        return self._allowed.get("*" if self._any else origins[0])


def _taken(target: Fixed | Lazy) -> Iterable[str]:
    return () if isinstance(target, Fixed) else (target.bound or target.bind()).taken
