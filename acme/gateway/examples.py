"""Contracts → example values: one request and one reply of each method, and one problem of each status.

What a contract gives as `example` is taken as it is; the rest is made from type, name and rules: ids with the prefix that
the rules demand, times after each other, addresses of example.com. The same contract gives the same examples everywhere, and
each is valid: a text with a pattern that nothing here matches is left out, with all that needs it.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha256
from typing import Any, Final

import msgspec

from acme.codec.values import json_bounds, unwrapped
from acme.contract import Field, Format, Kind, Message, Method, Route, Rules, Service
from acme.errors import Code, Fault, Refused
from acme.gateway.problems import STATUS, Rejected, problem

NOTHING: Final = object()
"""There is no example."""

REQUEST_ID: Final = "01kf0fv2e0fe9r7v0b9vhvkzbp"
VERSION: Final = 3
"""Of every resource in the examples."""

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_MILLISECONDS: Final = 1_768_469_400_000
"""2026-01-15T09:30:00Z, when everything in the examples was made."""
_MADE, _LATER, _END = "2026-01-15T09:30:00Z", "2026-02-03T16:05:00Z", "2030-01-31T00:00:00Z"
_BEGINNINGS: Final = frozenset({"created_at", "joined_at"})
_ENDINGS: Final = frozenset({"expires_at", "ends_at", "until"})
_TEXTS: Final = ("example", "Example", "a", "A", "1", "2026-01-15", "https://example.com/", "en-GB", "example.com")
"""Tried in turn where a pattern has to match."""
_CHOICES: Final = re.compile(r"\(?([A-Za-z0-9_.-]+(?:\|[A-Za-z0-9_.-]+)+)\)?\??")
_PLAIN: Final[dict[str, Any]] = {
    "google.protobuf.Duration": "30s",
    "google.protobuf.FieldMask": NOTHING,  # filled by the gateway
    "google.protobuf.Struct": {"key": "value"},
    "google.protobuf.ListValue": ["value"],
    "google.protobuf.Value": "value",
    "google.protobuf.Empty": {},
    "google.api.HttpBody": NOTHING,  # raw bytes
}
_BY_NAME: Final[dict[str, Any]] = {"page_size": 50, "page_token": "", "next_page_token": "", "version": VERSION}
"""What the platform itself gives a meaning: pages, and versions behind an ETag."""
_REFUSALS: Final = {
    400: ("malformed_json", "the body is not valid JSON: line 1, column 9"),
    401: ("token_expired", "The access token has expired: get another one."),
    403: ("permission_denied", "Your role does not include this."),
    404: ("not_found", "There is no such thing, or you may not see it."),
    408: ("slow_body", "The body has to arrive within 10 seconds."),
    409: ("conflict", "It is archived, and has to be unarchived first."),
    412: ("version_mismatch", "It has changed meanwhile: read it again."),
    413: ("too_large", "The body may have at most 1048576 bytes."),
    414: ("uri_too_long", "The request line may have at most 8190 bytes."),
    415: ("unsupported_media_type", "Send application/json in UTF-8."),
    416: ("range_not_satisfiable", "There are 1000 bytes."),
    422: ("invalid_argument", "A field breaks the contract."),
    428: ("precondition_required", "Name the version that the change is meant for: If-Match."),
    429: ("rate_limited", "Too many requests: try again in 3 seconds."),
    431: ("header_too_large", "A header may have at most 8190 bytes."),
    500: ("internal", "Something went wrong on our side. Tell support the request_id."),
    503: ("unavailable", "The service cannot be reached right now: try again."),
    504: ("deadline_exceeded", "There was no answer within 10 seconds. Whether it was done is not known."),
}
"""By status, the code and the detail of one problem."""


class Examples:
    """Examples for the methods of `services`."""

    def __init__(self, services: Iterable[Service]) -> None:
        self._named: dict[str, str] = {}
        self._owned: dict[str, str] = {}
        for service in services:
            for method in service.methods:
                self._learn(method)

    def _learn(self, method: Method) -> None:
        """Replies have no rules; which ids they hold follows from the requests that take those ids."""
        for field in method.request.fields:
            if field.rules is not None and field.rules.id:
                if field.name == "id":
                    self._owned.setdefault(method.reply.name, field.rules.id)
                    self._named.setdefault(f"{method.reply.name.rpartition('.')[2].lower()}_id", field.rules.id)
                else:
                    self._named.setdefault(field.name, field.rules.id)

    def body(self, method: Method, route: Route, elsewhere: frozenset[str]) -> Any:
        """The body of a request, without the fields `elsewhere`; NOTHING where the route takes none, or raw bytes."""
        if route.body == "*":
            return self._object(method.request, True, elsewhere, frozenset())
        if route.body:
            (field,) = (f for f in method.request.fields if f.name == route.body)
            return self.value(field, method.request, taken=True)
        return NOTHING

    def reply(self, method: Method) -> Any:
        """The body of a success."""
        return self._object(method.reply, False, frozenset(), frozenset())

    def value(self, field: Field, message: Message, *, taken: bool, above: frozenset[str] = frozenset()) -> Any:
        """The value of one field of a message, as JSON."""
        if field.example:
            given = msgspec.json.decode(field.example)
            return NOTHING if given is None else given
        if field.header.lower() == "if-match" and field.kind is Kind.INT:
            return f'"{VERSION}"'
        rules = field.rules or Rules()
        if field.is_map and field.key is not None and field.value is not None:
            key = self._single(field.key, message, rules.keys or Rules(), above)
            value = self._single(field.value, message, rules.values or Rules(), above, taken=taken)
            if key is NOTHING or value is NOTHING or (rules.min_items or 0) > 1:
                return NOTHING if rules.min_items else {}
            return {_text_of(key): value}
        if field.repeated:
            entry = self._single(field, message, rules.values or Rules(), above, taken=taken)
            return ([] if not rules.min_items else NOTHING) if entry is NOTHING else [entry] * (rules.min_items or 1)
        return self._single(field, message, rules, above, taken=taken)

    def _object(self, message: Message, taken: bool, elsewhere: frozenset[str], above: frozenset[str]) -> Any:
        if message.name in above:
            return NOTHING
        made: dict[str, Any] = {}
        oneofs = set[str]()
        for field in message.fields:
            if field.name in elsewhere or field.oneof in oneofs:
                continue
            value = self.value(field, message, taken=taken, above=above | {message.name})
            if value is not NOTHING:
                made[field.name] = value
                oneofs |= {field.oneof} - {""}
            elif taken and field.rules is not None and field.rules.required:
                return NOTHING
        return made

    def _single(
        self, field: Field, message: Message, rules: Rules, above: frozenset[str], *, taken: bool = True
    ) -> Any:
        field = unwrapped(field)
        inner = field.message
        if inner is not None:
            if inner.name == "google.protobuf.Timestamp":
                return _moment(field.name)
            return _PLAIN[inner.name] if inner.name in _PLAIN else self._object(inner, taken, frozenset(), above)
        match field.kind:
            case Kind.BOOL:
                return False
            case Kind.INT:
                return _number(_BY_NAME.get(field.name, 1), rules, *json_bounds(field))
            case Kind.FLOAT:
                return _number(1.5, rules)
            case Kind.BYTES:
                return b64encode(b"example"[: rules.max_bytes]).decode()
            case Kind.ENUM if field.choices is not None:
                return next((c.name for c in field.choices.values if c.number), field.choices.values[0].name)
        return self._text(field, message, rules)

    def _text(self, field: Field, message: Message, rules: Rules) -> Any:
        prefix = rules.id
        if field.rules is None:
            prefix = self._owned.get(message.name, "") if field.name == "id" else self._named.get(field.name, "")
        if prefix:
            return identifier(prefix)
        tried: list[str] = []
        if rules.format is Format.EMAIL or field.name == "email" or field.name.endswith("_email"):
            tried.append("ada@example.com")
        if field.name in _BY_NAME:
            tried.append(str(_BY_NAME[field.name]))
        if choices := _CHOICES.fullmatch(rules.pattern):
            tried += choices[1].split("|")
        words = field.name.replace("_", " ")
        tried += [
            words,
            *_TEXTS,
            words[: rules.max_length],
            words[: rules.max_bytes],
            words.ljust(rules.min_length or 0, "."),
        ]
        return next((text for text in tried if _fits(text, rules)), NOTHING)


def identifier(prefix: str) -> str:
    """The id of the examples with this prefix: a UUIDv7 like any other (acme/ids.py), but always the same one."""
    random = int.from_bytes(sha256(prefix.encode()).digest()[:10], "big")
    number = _MILLISECONDS << 80 | 0x7 << 76 | (random >> 62 & 0xFFF) << 64 | 0b10 << 62 | random & (1 << 62) - 1
    return f"{prefix}_" + "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))


def refusal(status: int) -> dict[str, Any]:
    """A problem with this status, as the gateway answers it."""
    reason, detail = _REFUSALS[status]
    code = next((code for code in Code if STATUS[code] == status), None)
    faults = [Fault("/name", "max_length", "must have at most 100 characters")] if code is Code.INVALID else []
    refused = (
        Rejected(status, reason, detail) if code is None else Refused(detail, code=code, reason=reason, faults=faults)
    )
    made: dict[str, Any] = msgspec.json.decode(problem(refused, REQUEST_ID).body)
    return made


def _moment(name: str) -> str:
    if name in _BEGINNINGS:
        return _MADE
    return _END if any(name.endswith(ending) for ending in _ENDINGS) else _LATER


def _number(wanted: float, rules: Rules, least: float = float("-inf"), most: float = float("inf")) -> float:
    """The closest to what is wanted that the rules allow."""
    least = max(least, rules.minimum) if rules.minimum is not None else least
    most = min(most, rules.maximum) if rules.maximum is not None else most
    return min(max(wanted, least), most)


def _fits(text: str, rules: Rules) -> bool:
    """Whether a text of printable ASCII keeps to the rules."""
    return (
        (bool(text) or not (rules.required or rules.min_length))
        and len(text) >= (rules.min_length or 0)
        and (rules.max_length is None or len(text) <= rules.max_length)
        and (rules.max_bytes is None or len(text) <= rules.max_bytes)
        and (not rules.pattern or not text or re.fullmatch(rules.pattern, text) is not None)
        and (rules.format is not Format.EMAIL or "@" in text)
    )


def _text_of(key: Any) -> str:
    """A key of a map, as JSON has it."""
    return str(key).lower() if isinstance(key, bool) else str(key)
