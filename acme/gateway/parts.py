"""Parts of what is downloaded (RFC 9110, section 14): what a client asks for, and what of it is there.

A method that streams bytes takes part when its contract says two things: an integer field of the request with the header
"Range", and in the first reply one with "Content-Length", which is the length of the whole. The former says from which byte
on the service sends: 0 is all of it, and a negative number so many bytes before the end. All else is done by the gateway:
the status, Content-Range, where the part ends, If-Range, and 416 for a part that is not there.

One range is answered by 206; several, and what is no range, by the whole. HEAD has none: they are defined for GET alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from multidict import istr

from acme.contract import Field, Kind, Message, Method
from acme.gateway.problems import Rejected
from acme.gateway.server import Headers

ACCEPTED: Final = b"Accept-Ranges: bytes\r\n"

_RANGE: Final = istr("Range")
_IF_RANGE: Final = istr("If-Range")
_ONE: Final = re.compile(r"bytes=[ \t]*(?:([0-9]{1,18})-([0-9]{1,18})?|-([0-9]{1,18}))[ \t]*", re.IGNORECASE)
_MOST: Final = 2**62


@dataclass(frozen=True, slots=True)
class Part:
    """What a client wants of something, before anybody knows how long that is."""

    first: int
    """The first byte, counted from 0; negative: so many before the end."""
    last: int = _MOST
    """The last byte, itself included."""

    def within(self, length: int) -> tuple[int, int]:
        """First byte, and the one after the last, of a whole of this length.

        Raises:
            Rejected: nothing of it is there (416).
        """
        start = max(0, length + self.first) if self.first < 0 else self.first
        end = min(self.last + 1, length)
        if start >= end:
            told = f"There are {length} bytes."
            raise Rejected(416, "range_not_satisfiable", told, Content_Range=f"bytes */{length}")
        return start, end


_NONE: Final = Part(0, -1)
"""The last zero bytes, which nothing has."""


class Parts:
    """How one method gives parts."""

    def __init__(self, attr: str, reply: Message) -> None:
        """`attr` is the request's field that says from which byte on."""
        self.attr: Final = attr
        named = {field.header.lower(): field for field in reply.fields if field.header}
        self._tag, self._date = named.get("etag"), named.get("last-modified")

    def asked(self, headers: Headers) -> Part | None:
        """The one part that a request asks for; `None`: the whole, several parts, or nothing that can be read."""
        given = headers.getall(_RANGE, ())
        found = _ONE.fullmatch(given[0]) if len(given) == 1 else None
        if found is None:
            return None
        first, last, before = found.groups()
        if before is not None:
            return Part(-int(before)) if int(before) else _NONE
        if last is None:
            return Part(int(first))
        return Part(int(first), int(last)) if int(first) <= int(last) else None

    def meant(self, headers: Headers, reply: Any) -> bool:
        """If-Range (RFC 9110, section 13.1.5): whether a part of what is sent fits to what the client has. What is weak
        never does."""
        given = headers.getall(_IF_RANGE, ())
        if not given:
            return True
        tag = "" if self._tag is None else str(getattr(reply, self._tag.attr))
        if self._tag is not None and self._tag.kind is Kind.INT:
            tag = f'"{tag}"'
        date = "" if self._date is None else str(getattr(reply, self._date.attr))
        return len(given) == 1 and not given[0].startswith("W/") and given[0] in {tag, date} - {""}


def parts(method: Method) -> Parts | None:
    """How a method gives parts; `None` when it gives none."""
    field = next((field for field in method.request.fields if is_range(field) and method.server_streaming), None)
    return None if field is None else Parts(field.attr, method.reply)


def is_range(field: Field) -> bool:
    """Whether a request's field says from which byte on."""
    return field.header.lower() == "range"
