"""What aiohttp's parser lets through and this gateway does not: one look at each request's head.

llhttp, in its strict mode, refuses what is malformed (RFC 9112): bare LF and CR, folded headers, blanks before the colon,
two lengths, chunks that are none. What it leaves is refused here, and so that the connection ends with the answer: bytes
of which nobody knows for sure whose they are, are never read as a next request.

- Names of headers are letters, digits and dashes. `X_Forwarded_For` and `X.Forwarded.For` are other names to us, and may
  be the same to a program further on that makes variables of them.
- Transfer-Encoding is "chunked" and nothing beside it; another coding is 501 (RFC 9112, section 6.1).
- A Content-Length that the parser takes for none, at the end of 64 bits.
- Expect is "100-continue" (RFC 9110, section 10.1.1); anything else is 417.
- Of an Upgrade nothing comes: the request is answered, and the connection ends, since the parser drops bytes after it.
- Host is a host (RFC 9112, section 3.2).
- The target is a path. Of an absolute one, which proxies get, it is that of http and https URIs without user (RFC 9110,
  section 4.2.4), and its authority a host as well. CONNECT is no method here.

What a request costs is a comparison of its headers' names with those that were seen and need no second look: 0.1 µs.
"""

from __future__ import annotations

import re
from typing import Final

from aiohttp.http import HttpVersion10, HttpVersion11
from multidict import istr

from acme.gateway.problems import Rejected
from acme.gateway.server import Headers, Request

_HOST: Final = istr("Host")
_EXPECT: Final = istr("Expect")
_LENGTH: Final = "content-length"
_CODING: Final = "transfer-encoding"
_TELLING: Final = frozenset({"connection", "proxy-connection", "origin"})
_NAME: Final = re.compile(r"[A-Za-z0-9-]+")
_HOSTED: Final = re.compile(r"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?")
_ABSOLUTE: Final = re.compile(r"https?://([^/?#]*)([/?].*)?", re.I)
_KNOWN: Final = 1000
"""Hosts, and names of headers, that are remembered."""


class Strict:
    """Checks heads. Remembers what it has found to be right, up to a bound."""

    def __init__(self) -> None:
        self._hosts: set[str] = set()
        # A request without a body has no business with a length, so the names that need no second look are two sets.
        self._plain: set[str] = set()
        self._bodied: set[str] = set()
        self.plain_names: set[bytes] = set()
        """Names of headers, in lower case, that need no second look where there is no body, and that neither change what the
        parser reads after them nor what an answer looks like."""

    def check(self, request: Request) -> None:
        """Raises Rejected for what is not to be answered otherwise; the connection ends then."""
        message = request.message
        headers = message.headers
        if message.version is not HttpVersion11 and message.version != HttpVersion10:
            raise _last(
                request, 505, "http_version_not_supported", "Speak HTTP/1.1."
            )  # the parser lets 0.9 and 2.0 through
        if not (self._bodied if request.has_body else self._plain).issuperset(headers):
            self._look(request)
        host = headers.get(_HOST)
        if host not in self._hosts and host is not None:
            if not hosted(host):
                raise _last(request, 400, "malformed_host", "The Host header is not a host name with a port.")
            if len(self._hosts) < _KNOWN:
                self._hosts.add(host)

    def plain(self, headers: Headers) -> bool:
        """Whether every header of a request without a body is one that needs no second look."""
        return self._plain.issuperset(headers)

    def _look(self, request: Request) -> None:
        """At each header. Those that are right whatever they say are remembered."""
        message, has_body = request.message, request.has_body
        known = self._bodied if has_body else self._plain
        for name in message.headers:
            lower = name.lower()
            if lower == _CODING:
                _check_coding(request, message.headers[name])
            elif lower == "expect":
                given = message.headers.getall(_EXPECT)
                if len(given) > 1 or given[0].lower() != "100-continue":
                    raise _last(request, 417, "expectation_failed", 'Nothing can be expected but "100-continue".')
            elif lower == "upgrade":
                end(request)
            elif lower == _LENGTH and not has_body:
                if message.headers[name].strip("0"):
                    raise _last(request, 400, "malformed_request", "Content-Length is not the length of a body.")
            elif _NAME.fullmatch(name) is None:
                told = "Names of headers are made of letters, digits and dashes."
                raise _last(request, 400, "malformed_header", told)
            elif len(known) < _KNOWN:
                known.add(name)
                if not has_body and lower not in _TELLING:
                    self.plain_names.add(lower.encode())


def path(request: Request) -> str:
    """What is asked for, with the query, of a target that is no path.

    Raises:
        Rejected: it is neither a path nor an http URI (400); or the method is of proxies (501).
    """
    message = request.message
    if message.method == "CONNECT":
        raise _last(request, 501, "method_not_implemented", "This is no proxy.")
    found = _ABSOLUTE.fullmatch(message.path)
    if found is None or not hosted(found[1]):
        if message.path == "*":  # of OPTIONS: the server as a whole, which is no route
            return "*"
        raise _last(request, 400, "malformed_target", "Ask for a path, such as /v1/projects.")
    rest = found[2] or "/"
    return rest if rest[:1] == "/" else "/" + rest


def hosted(text: str) -> bool:
    """Whether it is a host with a port or without (RFC 9110, section 7.2)."""
    found = _HOSTED.fullmatch(text)
    return found is not None and int(found[1] or 0) <= 65_535


def end(request: Request) -> None:
    """The connection ends with the answer to this request."""
    request.message = request.message._replace(should_close=True)


def _last(request: Request, status: int, reason: str, message: str) -> Rejected:
    end(request)
    return Rejected(status, reason, message)


def _check_coding(request: Request, coding: str) -> None:
    if request.message.version is not HttpVersion11:
        raise _last(request, 400, "malformed_request", "HTTP/1.0 has no Transfer-Encoding.")
    if coding.lower() == "chunked" and request.message.chunked:
        return
    named = [each.strip() for each in coding.lower().split(",")]
    if "" in named or "chunked" in named[:-1]:
        raise _last(request, 400, "malformed_request", "Transfer-Encoding is malformed.")
    raise _last(request, 501, "unsupported_coding", 'Of transfer codings there is "chunked" only.')
