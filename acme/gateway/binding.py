"""One route, compiled: path, query, headers and body → request message; reply message → body and headers.

Nothing is looked up twice: what a request may carry is settled from the contract when the route is used first.

- A variable of the path, a header field and, where the body does not claim them, a query parameter fill one field each;
  such fields are refused in the body, and so is the update mask, which a PATCH fills with the keys of its body.
- A stream of messages is given as events (events.py).
- A body of google.api.HttpBody is taken, and given, as the bytes it is. Where the method streams, path, query and headers
  are in the first message, and the pieces of the body in all.
- Faults in the body have JSON Pointers; others are named after their place: "{id}", "?page_size", "If-Match".
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, cast

import msgspec
from multidict import istr

from acme.codec.json import Json
from acme.codec.text import string
from acme.codec.wire import Wire
from acme.contract import HTTP_BODY, Field, Kind, Message, Method, Route, raw_body
from acme.errors import Fault, Invalid, Malformed, Refused, Stale, Unconditional
from acme.gateway.events import Frames, names_event
from acme.gateway.lanes import Lane
from acme.gateway.parts import is_range, parts
from acme.gateway.policy import Policy
from acme.gateway.routing import query, segment
from acme.gateway.server import Headers, header_lines
from acme.ports import Front
from acme.telemetry import Histogram

_TAG: Final = re.compile(rb'^ETag: ("[0-9]+")\r$', re.M | re.I)
_ETAG: Final = re.compile(r'"(0|[1-9][0-9]{0,18})"')
_IF_NONE_MATCH: Final = istr("If-None-Match")
_KEYS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


_BYTES: Final = "application/octet-stream"
_BROWSERS_OWN: Final = frozenset({"user-agent", "referer", "origin", "host", "cookie"})
"""Headers that a page cannot set, or has no need to ask for."""
_OF_THE_BODY: Final = frozenset({"content-length", "content-type"})
"""Headers that are made from the body itself."""


@dataclass(frozen=True, slots=True)
class _Text:
    """A field that is filled from text."""

    name: str
    attr: str
    place: str
    parse: Callable[[str], Any]
    repeated: bool = False
    plain: bool = False
    """Whether it holds whatever a segment of a path may be."""


class Bound:
    """A route of a method, ready to serve."""

    def __init__(
        self,
        method: Method,
        route: Route,
        variables: Sequence[str],
        client: Any,
        directory: Front,
        json: Json,
        wire: Wire,
    ) -> None:
        """Streams go through `client`, all others in at an entry of `directory`."""
        self.method, self._client = method, client
        self.name = method.path[1:]
        self.permission, self.step_up = method.permission, method.step_up
        self.changes_access = method.changes_access
        self.status = method.success_status
        self.uploads, self.downloads = method.client_streaming, method.server_streaming
        """Whether the body, and the answer, come in pieces."""
        self._raw_in = taken(method, route)
        self.raw = self._raw_in is not None
        """Whether the body is bytes as they are."""
        self._raw_out = given(method)
        self.streams = streams = self.uploads or self.downloads
        self.keyed = route.verb != "GET" and not streams
        """Whether an Idempotency-Key means anything."""
        self.reads = route.verb == "GET"
        self.unkeyed = route.verb != "GET" and streams
        """Whether an Idempotency-Key promises what cannot be kept: no stream is kept to be repeated."""
        self.wire = wire.encoder(method.request)
        fields = {field.name: field for field in method.request.fields}
        self._make = method.request.cls
        self._path = tuple(_text(fields[name], f"{{{name}}}", json) for name in variables)
        self._headers = tuple(
            (f.header, _if_match if _is_version(f, "If-Match") else _header, _text(f, f.header, json))
            for f in fields.values()
            if f.header and not is_range(f)
        )
        self._condition = next((f.attr for f in fields.values() if f.condition), "")
        elsewhere = {*variables, *(f.name for f in fields.values() if f.header)}
        mask = fields.get(method.request.mask) if route.verb == "PATCH" else None
        if mask is not None:
            elsewhere.add(mask.name)
        self._decode, self._body, self._mask = _body(method, route, frozenset(elsewhere), mask, json)
        self.takes_body = bool(route.body)
        self._query = {
            f.name: _text(f, f"?{f.name}", json)
            for f in fields.values()
            if route.body != "*" and f.name not in elsewhere and f.name != route.body
        }
        texts = (*self._path, *self._query.values(), *(text for _, _, text in self._headers))
        self.private = any(fields[name].pii or fields[name].secret for name in variables)
        """Whether the path itself is nobody's business."""
        self._places = {f"/{text.name}": text.place for text in texts}
        self.raw_out = self._raw_out is not None
        """Whether the answer is bytes as they are; the reply says of which type."""
        self.frames = Frames(method.reply, json) if self.downloads and not self.raw_out else None
        """The answer as events, where it is a stream of messages."""
        self.parts = parts(method)
        """How parts of the answer are given."""
        self._encode = self._bytes if self.raw_out else json.encoder(method.reply)
        self._sent = tuple(
            (f.header, f.attr, f'{f.header}: "%d"\r\n'.encode() if _is_version(f, "ETag") else b"")
            for f in method.reply.fields
            if f.header and not (self.raw_out and f.header.lower() in _OF_THE_BODY) and not names_event(f)
        )
        self.headed = bool(self._sent) or self.raw_out
        """Whether replies have header lines."""
        self.tagged = is_tagged(method, route)
        """Whether answers have an ETag that If-None-Match is compared with."""
        self.entry: Final = None if streams else directory.entry(method, self.reply, self._fresh(json))
        """Where calls go in; `None` for streams. A reply is what `reply` returns."""
        self.taken = frozenset(
            {f.header for f in fields.values() if f.header and f.header.lower() not in _BROWSERS_OWN}
            | ({"Authorization"} if self.permission else set())
            | ({"Content-Type"} if self.takes_body else set())
            | ({"Idempotency-Key"} if self.keyed else set())
            | ({"If-None-Match"} if self.tagged else set())
        )
        """Request headers that mean something here."""
        self._length = next(
            (f.attr for f in method.reply.fields if f.header.lower() == "content-length" and f.kind is Kind.INT), ""
        )

    def call(self, message: Any) -> Awaitable[Any]:
        """Calls a method that takes a stream. It is taken from the client each time: its service may have moved since."""
        called: Awaitable[Any] = getattr(self._client, self.method.attr)(message)
        return called

    def request(self, values: Sequence[str], raw_query: str, headers: Headers, body: bytes) -> Any:
        """The request message.

        Raises:
            Malformed: escapes, characters or JSON that cannot be read; no body where there has to be one.
            Invalid: parameters or fields that do not exist, of the wrong type, or given twice.
            Stale: an If-Match that names no version.
            Unconditional: no If-Match, or "*", where the contract demands a version.
        """
        decode = self._decode
        if self._raw_in is not None:
            message = self._make()
            content = cast(Message, self._raw_in.message).cls(content_type=headers.get("Content-Type", ""), data=body)
            setattr(message, self._raw_in.attr, content)
        elif body or self.takes_body:
            if not body:
                raise Malformed("The body is empty: send a JSON object.", reason="empty_body")
            filled = decode(body)
            message = filled if self._body is None else self._make()
            if self._body:
                setattr(message, self._body, filled)
                if self._mask is not None:
                    setattr(message, self._mask.attr, _mask_of(self._mask, body))
        else:
            message = self._make()
        if values:
            for text, raw in zip(self._path, values):  # noqa: B905  the route has as many, and strict costs a tenth
                value = segment(raw)
                setattr(message, text.attr, value if text.plain else _parsed(text, value))
        if raw_query:
            self._fill_from_query(message, raw_query)
        for name, read, text in self._headers:
            if name in headers:
                setattr(message, text.attr, read(text, ", ".join(headers.getall(name))))
        if self._condition and getattr(message, self._condition) is None:
            raise Unconditional
        return message

    def reply(self, message: Any) -> tuple[bytes, bytes]:
        """Body and header lines of a reply."""
        return (b"" if self.status == 204 else self._encode(message)), self.lines(message) if self.headed else b""

    def _fresh(self, json: Json) -> Callable[[Any], tuple[bytes, bytes]] | None:
        """What makes the same of a message that nobody has judged; `None` where more is read than JSON and a version."""
        if self.raw_out or self.status == 204 or not all(version for _, _, version in self._sent):
            return None
        render, lines, headed = json.renderer(self.method.reply), self.lines, self.headed

        def fresh(message: Any) -> tuple[bytes, bytes]:
            return render(message), lines(message) if headed else b""

        return fresh

    def unchanged(self, lines: bytes, headers: Headers) -> bool:
        """Whether the client has this version already, by the header lines of the reply: If-None-Match (RFC 9110, section
        13.1.2)."""
        given = ",".join(headers.getall(_IF_NONE_MATCH, ())).strip()
        found = _TAG.search(lines)
        tag = found[1].decode() if found is not None else None
        return given == "*" or any(each.strip().removeprefix("W/") == tag for each in given.split(","))

    def lines(self, message: Any) -> bytes:
        """Header lines of a reply."""
        lines = b""
        for name, attr, version in self._sent:
            value = getattr(message, attr)
            if version:
                lines += version % value
            elif value not in (None, ""):
                lines += header_lines({name: str(value)})
        if self.raw_out:
            lines += header_lines({"Content-Type": getattr(self._content(message), "content_type", "") or _BYTES})
        return lines

    async def uploaded(self, message: Any, pieces: AsyncIterator[bytes]) -> AsyncGenerator[Any, None]:
        """The request as a stream: `message` with the first piece of the body, and for each other one of data alone."""
        attr = cast(Field, self._raw_in).attr
        body = getattr(message, attr)
        begun = False
        async for piece in pieces:
            if begun:
                yield self._make(**{attr: type(body)(data=piece)})
            else:
                begun, body.data = True, piece
                yield message
        if not begun:
            yield message

    def stream(self, message: Any) -> AsyncGenerator[Any, None]:
        """Calls a method whose replies are a stream."""
        called: AsyncGenerator[Any, None] = getattr(self._client, self.method.attr)(message)
        return called

    def length(self, message: Any) -> int | None:
        """How many bytes the whole answer has, if its first reply says so."""
        return getattr(message, self._length) or None if self._length else None

    def data(self, message: Any) -> bytes:
        """The piece of the body in a reply."""
        return self._bytes(message)

    def _content(self, message: Any) -> Any:
        return getattr(message, self._raw_out) if self._raw_out else message

    def _bytes(self, message: Any) -> bytes:
        content = self._content(message)
        return b"" if content is None else content.data

    def placed(self, refusal: Refused) -> Refused:
        """The refusal with faults of fields that were not in the body named after the place they came from."""
        if refusal.faults and self._places:
            refusal.faults = tuple(
                # A field is unknown in the body just because its place is elsewhere.
                f if f.code == "unknown_field" else replace(f, pointer=self._places.get(f.pointer, f.pointer))
                for f in refusal.faults
            )
        return refusal

    def _fill_from_query(self, message: Any, raw: str) -> None:
        faults = []
        for name, values in query(raw).items():
            text = self._query.get(name)
            if text is None:
                known = ", ".join(self._query) or "none"
                faults.append(Fault(f"?{name}", "unknown_parameter", f"is not known; known are: {known}"))
            elif text.repeated:
                setattr(message, text.attr, [_parsed(text, value) for value in values])
            elif len(values) > 1:
                faults.append(Fault(text.place, "repeated", "may be given once"))
            else:
                setattr(message, text.attr, _parsed(text, values[0]))
        if faults:
            raise Invalid("A parameter breaks the contract.", faults=faults)


def taken(method: Method, route: Route) -> Field | None:
    """The field that takes the request body as it is; `None` where the body is JSON."""
    field = next((f for f in method.request.fields if f.name == route.body), None)
    return field if field is not None and field.message is not None and field.message.name == HTTP_BODY else None


def is_tagged(method: Method, route: Route) -> bool:
    """Whether answers have an ETag that a client may name in If-None-Match."""
    return (
        route.verb == "GET" and not method.server_streaming and any(_is_version(f, "ETag") for f in method.reply.fields)
    )


def given(method: Method) -> str | None:
    """The attribute of a reply that is the answer's body as it is: "" for the reply itself, `None` for JSON."""
    if method.reply.name == HTTP_BODY:
        return ""
    field = raw_body(method.reply)
    return field.attr if field is not None else None


def unfit(method: Method, route: Route) -> str:
    """Why a route cannot be served, "" when it can."""
    if method.client_streaming and taken(method, route) is None:
        return "a stream of requests needs a google.api.HttpBody for its body"
    return ""


class Lazy:
    """A route that is compiled at its first request, so that start-up does not pay for routes nobody uses."""

    __slots__ = ("_bind", "bound", "lane", "method", "policy", "series")

    def __init__(self, method: Method, bind: Callable[[], Bound], policy: Policy, lane: Lane) -> None:
        self.method, self._bind, self.policy, self.lane = method, bind, policy, lane
        self.bound: Bound | None = None
        self.series: tuple[dict[int, Histogram], dict[int, Histogram]] = {}, {}
        """Durations by status, over HTTP and over HTTPS; the gateway fills it."""

    def bind(self) -> Bound:
        self.bound = self._bind()
        return self.bound


def _body(
    method: Method, route: Route, elsewhere: frozenset[str], mask: Field | None, json: Json
) -> tuple[Callable[[bytes], Any], str | None, Field | None]:
    """The decoder of the body, the attribute it fills (`None`: the message itself, "": nothing) and the mask to fill."""
    if route.body == "*":
        return json.decoder(method.request, exclude=elsewhere, mask=mask.name if mask else ""), None, None
    if taken(method, route) is not None:
        return _nothing, "", None
    if route.body:
        field = next(f for f in method.request.fields if f.name == route.body)
        message = cast(Message, field.message)  # contract.py refuses other bodies
        inner = message.mask if route.verb == "PATCH" and mask is None else ""
        excluded = frozenset({inner} - {""})
        return json.decoder(message, exclude=excluded, mask=inner), field.attr, mask
    # Many clients send {} where nothing is wanted. Whatever else it holds is an unknown field.
    return json.decoder(method.request, exclude=frozenset(f.name for f in method.request.fields)), "", None


def _nothing(body: bytes) -> Any:
    raise AssertionError("a raw body is not decoded")


def _text(field: Field, place: str, json: Json) -> _Text:
    parse = json.text(field)
    return _Text(field.name, field.attr, place, parse, field.repeated, parse is string)


def _is_version(field: Field, header: str) -> bool:
    return field.header.lower() == header.lower() and field.kind is Kind.INT


def _parsed(text: _Text, value: str) -> Any:
    try:
        return text.parse(value)
    except ValueError as error:
        fault = Fault(text.place, "type", str(error))
        raise Invalid("A parameter breaks the contract.", faults=[fault]) from None


def _header(text: _Text, value: str) -> Any:
    """A header field is bytes; what is no UTF-8 in it reads as U+FFFD."""
    if not value.isascii():
        value = value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return _parsed(text, value)


def _if_match(text: _Text, value: str) -> int | None:
    """RFC 9110, section 13.1.1, for ETags that are versions: no list, and a weak one never matches."""
    if value == "*":
        return None
    found = _ETAG.fullmatch(value)
    if found is None or int(found[1]) >= 2**63:
        raise Stale('If-Match has to be one ETag as we sent it, such as "7", or *.', reason="version_mismatch")
    return int(found[1])


def _mask_of(mask: Field, body: bytes) -> Any:
    return cast(Message, mask.message).cls(paths=sorted(_KEYS.decode(body)))
