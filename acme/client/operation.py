"""One method of a contract as an HTTP request and back: what the gateway's binding does, from the other side."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from enum import Enum
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec

from acme.client.transport import Answer, Request
from acme.codec.json import Json
from acme.contract import Field, Message, Method
from acme.contracts.google.protobuf import Struct
from acme.errors import Invalid

_VARIABLE: Final = re.compile(r"\{([^}=]*)[^}]*\}")
_STRUCT: Final = "google.protobuf.Struct"
_UNKNOWN: Final = "unknown_field"


class Unset(Enum):
    """What an argument is that was not given, where `None` would be a value."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET


class Operation:
    """A method with a route, compiled when it is first called."""

    def __init__(self, method: Method, json: Json) -> None:
        self._method = method
        route = self._route = method.routes[0]
        self._variables = _VARIABLE.findall(route.template)
        self._fields = {field.name: field for field in method.request.fields}
        self._encode, self._decode = json.encoder(method.request), json.decoder(method.reply)
        self.public = method.public
        """Whether a token is of no use."""
        self.streams = method.server_streaming
        """Whether the reply is a stream of messages."""
        self.keyed = is_keyed(method)
        """Whether an Idempotency-Key means anything."""

    def request(self, given: Mapping[str, Any], key: str = "") -> Request:
        """The request for these arguments, by the names of the contract; those that are `UNSET` are left out.

        Raises:
            ValueError: one that JSON cannot say, or that would be the path of another method: "", "." and "..".
        """
        given = {name: value for name, value in given.items() if value is not UNSET}
        values = self._values(given)
        path = _VARIABLE.sub(lambda found: _segment(found[1], _text(values.pop(found[1]))), self._route.template)
        headers = {"Accept": "text/event-stream" if self.streams else "application/json"}
        for name in [name for name in values if self._fields[name].header]:
            header, text = self._fields[name].header, _text(values.pop(name))
            headers[header] = f'"{text}"' if header.lower() == "if-match" else text
        if self.keyed:
            headers["Idempotency-Key"] = key or secrets.token_urlsafe(24)
        body = self._body(values)
        if body is not None:
            headers["Content-Type"] = "application/json"
        elif values:
            path += "?" + urlencode([pair for name, value in values.items() for pair in _pairs(name, value)])
        repeatable = self.keyed or self._method.idempotent
        return Request(self._route.verb, path, headers, body, repeatable)

    def reply(self, answer: Answer) -> Any:
        """The reply message. Fields that this version of the contract does not know are passed over."""
        return self._method.reply.cls() if self._method.success_status == 204 else self.read(answer.body)

    def read(self, body: bytes) -> Any:
        """The message that a body, or the data of an event, is."""
        try:
            return self._decode(body)
        except Invalid as refusal:
            if not any(fault.code == _UNKNOWN for fault in refusal.faults):
                raise
        return self._decode(msgspec.json.encode(_known(msgspec.json.decode(body), self._method.reply)))

    def _values(self, given: Mapping[str, Any]) -> dict[str, msgspec.Raw]:
        """Each argument as JSON."""
        message = self._method.request.cls()
        for name, value in given.items():
            field = self._fields[name]
            if value is not None:
                setattr(message, field.attr, _struct(field, value))
        written = msgspec.json.decode(self._encode(message), type=dict[str, msgspec.Raw])
        null = msgspec.Raw(b"null")
        return {name: null if value is None else written[name] for name, value in given.items()}

    def _body(self, values: dict[str, msgspec.Raw]) -> bytes | None:
        match self._route.body:
            case "":
                return None
            case "*":
                return msgspec.json.encode(values)
            case name:
                return bytes(values.pop(name))


def is_keyed(method: Method) -> bool:
    """Whether the platform keeps the reply of a call for its Idempotency-Key."""
    streams = method.client_streaming or method.server_streaming
    return method.routes[0].verb != "GET" and not (method.public or method.secret_reply or streams)


def _struct(field: Field, value: Any) -> Any:
    if field.message is not None and field.message.name == _STRUCT and not isinstance(value, Struct):
        return Struct.from_dict(dict(value))
    return dict(value) if field.is_map else list(value) if field.repeated else value


def _text(raw: msgspec.Raw) -> str:
    """A JSON scalar as it stands in a path, a query or a header."""
    value = msgspec.json.decode(raw)
    return value if isinstance(value, str) else bytes(raw).decode()


def _segment(name: str, text: str) -> str:
    """A part of a path. Escaped or not, dots alone go up in it (RFC 3986, section 5.2.4)."""
    if text in ("", ".", ".."):
        raise ValueError(f"{name} cannot be {text!r}")
    return quote(text, safe="")


def _pairs(name: str, raw: msgspec.Raw) -> list[tuple[str, str]]:
    several = bytes(raw).startswith(b"[")
    return [(name, _text(item)) for item in (msgspec.json.decode(raw, type=list[msgspec.Raw]) if several else [raw])]


def _known(value: Any, message: Message) -> Any:
    """A JSON object without the members that the message lacks, at any depth."""
    if not isinstance(value, dict) or message.name.startswith("google.protobuf."):
        return value
    fields = {field.name: field for field in message.fields}
    return {name: _known_value(item, fields[name]) for name, item in value.items() if name in fields}


def _known_value(value: Any, field: Field) -> Any:
    if field.is_map and isinstance(value, dict) and field.value is not None:
        return {key: _known_value(item, field.value) for key, item in value.items()}
    if field.message is None:
        return value
    if field.repeated and isinstance(value, list):
        return [_known(item, field.message) for item in value]
    return _known(value, field.message)
