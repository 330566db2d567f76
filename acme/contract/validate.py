"""What a contract must keep to beyond what protoc checks. One function a subject; each yields what is wrong in words."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from acme.contract.model import HTTP_BODY, ROLES, Field, Kind, Message, Method, Rules, Service, Work, raw_body

_VARIABLE: Final = re.compile(r"\{([^}=]*)[^}]*\}")
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110, section 5.6.2
_ID_PREFIX: Final = re.compile(r"[a-z]{1,16}")
_STRUCT: Final = "google.protobuf.Struct"
MOST_SECONDS: Final = 3600.0
"""Seconds that the timeout of a method may be at most."""
MOST_COST: Final = 1000
"""Requests that one request of a method may count as."""
LONGEST_KEPT: Final = 365 * 86_400
"""Seconds that a reply may be kept at most."""
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})

AS_TEXT: Final = frozenset(
    f"google.protobuf.{name}"
    for name in (
        "Timestamp",
        "Duration",
        "FieldMask",
        *(f"{of}Value" for of in ("Bool", "Int32", "Int64", "UInt32", "UInt64", "Float", "Double", "String", "Bytes")),
    )
)
"""Messages that JSON writes as one scalar, which therefore fit into a query parameter."""


class ContractError(Exception):
    """A contract is wrong. `package` is the import package at fault, `faults` says what, each with file and place."""

    def __init__(self, package: str, faults: Sequence[str]) -> None:
        super().__init__(f"contract {package}: " + "\n".join(faults))
        self.package = package
        self.faults = tuple(faults)


def validate(services: Iterable[Service], messages: Collection[Message], packages: Mapping[str, str]) -> None:
    """Raises ContractError for the first package, in the order of `packages` (by file name), that breaks a rule."""
    faults: dict[str, list[str]] = {}
    for message in messages:
        file = message.descriptor.file.name
        for fault in _message(message):
            faults.setdefault(packages[file], []).append(f"{file}: {message.descriptor.name}: {fault}")
    taken: dict[tuple[str, str], str] = {}
    roles: dict[str, tuple[str, str]] = {}
    for service in services:
        for method in service.methods:
            own = (*_access(method), *_routes(method), *_rest(method), *_way_in(method))
            for fault in (*own, *_clashes(method, taken), *_roles(method, roles)):
                faults.setdefault(service.package, []).append(f"{service.file}: {service.name}.{method.name}: {fault}")
    for message, fault in _organizations(messages):
        file = message.descriptor.file.name
        faults.setdefault(packages[file], []).append(f"{file}: {message.descriptor.name}: {fault}")
    for package in dict.fromkeys(packages.values()):
        if package in faults:
            raise ContractError(package, faults[package])


def _organizations(messages: Iterable[Message]) -> Iterator[tuple[Message, str]]:
    """The events of an aggregate are ordered by its organisation and its id, so all of them, or none, name the former."""
    first: dict[tuple[str, str], Message] = {}
    for message in messages:
        if message.event is not None:
            other = first.setdefault((message.event.topic, message.event.key), message)
            if other.event is not None and bool(other.event.organization) != bool(message.event.organization):
                has, lacks = (message, other) if message.event.organization else (other, message)
                yield (
                    message,
                    f"{has.name} says which organisation {message.event.key} belongs to, and {lacks.name} does not",
                )


def _access(method: Method) -> Iterator[str]:
    given = [
        name
        for name, says in (
            ("permission", bool(method.permission)),
            ("public", method.public),
            ("internal", method.internal is not None),
        )
        if says
    ]
    if not given:
        yield "needs one of the options permission, public and internal"
    if len(given) > 1:
        yield f"has {' and '.join(given)}; these exclude each other"
    if method.internal is not None:
        if not method.internal:
            yield "internal names no caller"
        if method.routes:
            yield "is internal and has a REST route"


def _routes(method: Method) -> Iterator[str]:
    fields = {field.name: field for field in method.request.fields}
    for route in method.routes:
        where = f"{route.verb} {route.template}"
        bound = set()
        for name in _VARIABLE.findall(route.template):
            if name not in fields:
                yield f"{where}: the path variable {name!r} is no field of {method.request.name}"
            elif not _is_scalar(fields[name]):
                yield f"{where}: the path variable {name!r} has to be a single scalar"
            bound.add(name)
        if not route.template.startswith("/"):
            yield f"{where}: a path starts with /"
        if route.body and route.verb not in _WITH_BODY:
            yield f"{where}: {route.verb} has no body"
        if route.body not in ("", "*"):
            if route.body not in fields:
                yield f"{where}: the body {route.body!r} is no field of {method.request.name}"
            elif not fields[route.body].message:
                yield f"{where}: the body {route.body!r} has to be a message"
        if route.verb == "PATCH":
            if not route.body:
                yield f"{where}: PATCH needs a body"
            patched = fields[route.body].message if route.body in fields else method.request
            # A Struct is patched by RFC 7396: it says itself which members it names.
            if patched and patched.name != _STRUCT and not patched.mask and not method.request.mask:
                yield f"{where}: PATCH needs a google.protobuf.FieldMask in {method.request.name}"
        if route.body != "*":
            for field in fields.values():
                if field.name not in bound and field.name != route.body and not field.header and not _fits_query(field):
                    yield f"{where}: {field.name!r} does not fit into a query parameter"


def _clashes(method: Method, taken: dict[tuple[str, str], str]) -> Iterator[str]:
    for route in method.routes:
        shape = (route.verb, _VARIABLE.sub("{}", route.template))
        first = taken.setdefault(shape, method.path)
        if first != method.path:
            yield f"{route.verb} {route.template}: is the route of {first} too"


def _roles(method: Method, roles: dict[str, tuple[str, str]]) -> Iterator[str]:
    if method.role not in ROLES:
        yield f"the role {method.role!r} is none of {', '.join(ROLES)}"
    if method.permission:
        role, first = roles.setdefault(method.permission, (method.role, method.path))
        if role != method.role:
            yield f"{method.permission} needs the role {method.role!r} here, and {role!r} in {first}"
    elif method.step_up:
        yield "step_up asks who is there, and a method without a permission lets in those who are not known"


def _rest(method: Method) -> Iterator[str]:
    if (method.client_streaming or method.server_streaming) and method.work is Work.AUTO:
        yield "streams, and no transaction stays open as long as a stream: declare WORK_NONE, or WORK_MANUAL and short units"
    if method.client_streaming and method.routes:
        bodies = {route.body for route in method.routes}
        for field in method.request.fields:
            if field.rules is not None and field.rules.required and field.name not in bodies:
                yield f"{field.name!r} is required in every message of the stream, and a route fills it in the first alone"
    for field in method.request.fields:
        if field.header.lower() == "range":
            yield from _range(method, field)
    if not 200 <= method.success_status <= 399:
        yield f"success_status {method.success_status} is no success"


def _range(method: Method, field: Field) -> Iterator[str]:
    """The gateway gives parts of what a method streams, if that says from where it sends, and how much there is."""
    if field.kind is not Kind.INT or field.bounds[0] >= 0:
        yield f"{field.name!r} says from which byte on, or how many before the end: a signed integer"
    length = next((f for f in method.reply.fields if f.header.lower() == "content-length"), None)
    raw = method.reply.name == HTTP_BODY or raw_body(method.reply) is not None
    if method.client_streaming or not method.server_streaming or not raw or length is None:
        yield f"{field.name!r} takes a range, and there is no stream of bytes with a Content-Length to take it of"


def _way_in(method: Method) -> Iterator[str]:
    """What the gateway is told of it."""
    if method.timeout is not None and not 0 < method.timeout <= MOST_SECONDS:
        yield f"timeout {method.timeout:g} is not above 0 and at most {MOST_SECONDS:g} seconds"
    if not 1 <= method.cost <= MOST_COST:
        yield f"cost {method.cost} is not 1 to {MOST_COST}"
    cache = method.cache
    if cache is None:
        return
    if not 1 <= cache.max_age <= LONGEST_KEPT:
        yield f"cache: max_age {cache.max_age} is not 1 to {LONGEST_KEPT} seconds"
    if not method.routes or any(route.verb != "GET" for route in method.routes):
        yield "cache: only the answer to a GET is kept"
    if method.secret_reply or _has_secret(method.reply, set()):
        yield "cache: the reply holds a secret"
    if cache.shared and not method.public:
        yield "cache: shared is for everybody, and the method is not public"


def _is_text(message: Message | None, path: Sequence[str]) -> bool:
    """Whether a path of fields leads to a single string."""
    field = next((field for field in message.fields if field.name == path[0]), None) if message is not None else None
    if field is None or field.repeated or field.is_map:
        return False
    return _is_text(field.message, path[1:]) if len(path) > 1 else field.kind is Kind.STRING


def _message(message: Message) -> Iterator[str]:
    if message.event is not None:
        if not message.event.topic:
            yield "the event has no topic"
        key = next((field for field in message.fields if field.name == message.event.key), None)
        if key is None:
            yield f"the event's key {message.event.key!r} is no field"
        elif not _is_scalar(key) or key.kind not in (Kind.STRING, Kind.INT):
            yield f"the event's key {key.name!r} has to be a single string or integer"
        if message.event.organization and not _is_text(message, message.event.organization.split(".")):
            yield f"the event's organization {message.event.organization!r} has to be the path of a single string"
    for field in message.fields:
        if field.header and not _TOKEN.fullmatch(field.header):
            yield f"{field.name}: {field.header!r} cannot be the name of a header"
        if field.header and (not _is_scalar(field) or field.kind is Kind.BYTES):
            yield f"{field.name}: a header holds a single scalar"
        if field.example and not _is_json(field.example):
            yield f"{field.name}: the example {field.example!r} is no JSON; text has quotation marks of its own"
        if field.rules is not None:
            for fault in _rules(field.rules, field):
                yield f"{field.name}: {fault}"


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except ValueError:
        return False
    return True


def _rules(rules: Rules, field: Field) -> Iterator[str]:
    """Rules that say nothing about a field of this type are faults: their author thinks they hold."""
    many = field.repeated or field.is_map
    kind = _value_kind(field)
    fits: tuple[tuple[str, bool], ...] = (
        ("required", many or field.optional or kind in (Kind.STRING, Kind.BYTES, Kind.ENUM)),
        ("min_length", not many and kind is Kind.STRING),
        ("max_length", not many and kind is Kind.STRING),
        ("max_bytes", not many and kind in (Kind.STRING, Kind.BYTES)),
        ("pattern", not many and kind is Kind.STRING),
        ("format", not many and kind is Kind.STRING),
        ("id", not many and kind is Kind.STRING),
        ("minimum", not many and kind in (Kind.INT, Kind.FLOAT)),
        ("maximum", not many and kind in (Kind.INT, Kind.FLOAT)),
        ("min_items", many),
        ("max_items", many),
        ("keys", field.is_map),
        ("values", many),
    )
    for name, does in fits:
        if not does and getattr(rules, name) not in (None, False, ""):
            yield f"the rule {name} says nothing about this type"
    for low, high in (("min_length", "max_length"), ("minimum", "maximum"), ("min_items", "max_items")):
        least, most = getattr(rules, low), getattr(rules, high)
        if least is not None and most is not None and least > most:
            yield f"{low} is greater than {high}"
    try:
        re.compile(rules.pattern)
    except re.error as error:
        yield f"the pattern is none: {error}"
    if rules.id and not _ID_PREFIX.fullmatch(rules.id):
        yield f"the id prefix {rules.id!r} is not 1 to 16 lower-case letters"
    if rules.keys is not None and field.key is not None:
        yield from (f"keys: {fault}" for fault in _rules(rules.keys, field.key))
    if rules.values is not None and (entry := field.value or (field if field.repeated else None)) is not None:
        yield from (f"values: {fault}" for fault in _rules(rules.values, dataclasses.replace(entry, repeated=False)))


def _value_kind(field: Field) -> Kind:
    """The kind of a field's value, with wrappers such as StringValue taken off."""
    message = field.message
    wraps = message is not None and message.name in AS_TEXT and message.name.endswith("Value")
    return message.fields[0].kind if message is not None and wraps else field.kind


def _has_secret(message: Message, seen: set[str]) -> bool:
    """Whether a field of it, however deep, is a credential. `seen` are messages that are being looked at."""
    if message.name in seen:
        return False
    seen.add(message.name)
    return any(
        field.secret or (held is not None and _has_secret(held, seen))
        for field in message.fields
        for held in (field.message or (field.value.message if field.value is not None else None),)
    )


def _is_scalar(field: Field) -> bool:
    return not field.repeated and field.kind is not Kind.MESSAGE


def _fits_query(field: Field) -> bool:
    return not field.is_map and (
        field.kind is not Kind.MESSAGE or (field.message is not None and field.message.name in AS_TEXT)
    )
