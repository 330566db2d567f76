"""Plain HTTP that says where the API is: 308 to https (RFC 9110, section 15.4.9), with the same method, path and query.

Only for hosts that our certificates are for. Any other is refused with 421: an answer that repeats whatever stands in Host
would send people wherever somebody else likes. Nothing is read but the head; a token that came in the clear is not repeated.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, Final

from multidict import istr

from acme.errors import Refused
from acme.gateway.headers import RequestIds
from acme.gateway.problems import Rejected, problem
from acme.gateway.server import PROBLEM, Reply, Request, header_lines, reply
from acme.gateway.strict import Strict
from acme.telemetry import CounterFamily

_HOST: Final = istr("Host")
_TARGET: Final = re.compile(r"/[\x21-\x7e]*")
_PORT: Final = re.compile(r":[0-9]{1,5}$")


class Redirect:
    """Answers the requests of one listener."""

    def __init__(self, to: Callable[[str], str], answered: CounterFamily, write_timeout: float) -> None:
        """`to`: name or address → the origin to go to, "" where it is none of ours. `answered` counts by status."""
        self._to, self._answered, self._write_timeout = to, answered, write_timeout
        self._ids, self._strict = RequestIds(), Strict()

    async def serve(self, request: Request) -> Reply:
        """The answer to a request."""
        try:
            place = self._place(request)
        except Refused as refusal:
            return self.refuse(request, refusal)
        return self._reply(request, self._ids.of(request.headers), 308, "", b"", {"Location": place})

    def refuse(self, request: Any, refusal: Refused) -> Reply:
        """The answer to what is no request for us, or none at all."""
        request_id = self._ids.of(request.headers)
        told = problem(refusal, request_id)
        return self._reply(request, request_id, told.status, PROBLEM, told.body, told.headers)

    def _place(self, request: Request) -> str:
        self._strict.check(request)
        host, target = request.headers.get(_HOST, ""), request.message.path
        if target[:1] != "/":  # absolute-form, whose host counts: RFC 9112, section 3.2.2
            _, _, rest = target.partition("://")
            host, slash, path = rest.partition("/")
            target = slash + path or "/"
        origin = self._to(_PORT.sub("", host).strip("[]")) if host else ""
        if not origin:
            raise Rejected(421, "misdirected", "This address answers for another host, and over https.")
        if _TARGET.fullmatch(target) is None:
            raise Rejected(400, "malformed_request", "This is not a well-formed HTTP/1.1 request.")
        return origin + target

    def _reply(self, request: Request, request_id: str, status: int, kind: str, body: bytes, headers: Any) -> Reply:
        self._answered.bind(str(status)).add()
        lines = header_lines(headers)
        return reply(request, request_id, status, kind, body, lines, time.time(), True, self._write_timeout)
