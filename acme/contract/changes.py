"""What of a contract's changes breaks those who rely on it: callers over REST and gRPC, and consumers of events.

    breaking(before, after, files)   → "weather/v1/weather.proto: Forecast.wind: was number 3, is 4"

A client may be older than the service, an event older than its consumer: what was once released stays readable, and a
request that was valid stays valid. What is added breaks nobody, except a field that a request now has to have.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from typing import Final

from google.protobuf.descriptor import FieldDescriptor

from acme.contract.load import Contracts
from acme.contract.model import Choices, Field, Format, Message, Method, Rules, Service

_TYPES: Final = {
    number: name.removeprefix("TYPE_").lower()
    for name, number in vars(FieldDescriptor).items()
    if name.startswith("TYPE_")
}


def breaking(before: Contracts, after: Contracts, files: Container[str]) -> list[str]:
    """Every breaking change of what `files` declared before, each with its file and place."""
    asked = _reachable(method.request for service in after.services.values() for method in service.methods)
    found: list[str] = []
    for service in before.services.values():
        if service.file in files:
            found += (f"{service.file}: {line}" for line in _service(service, after.services.get(service.name)))
    enums: dict[str, tuple[Choices, str]] = {}
    for message in before.messages.values():
        file = message.descriptor.file.name
        if file in files and not message.descriptor.GetOptions().map_entry:
            found += (f"{file}: {line}" for line in _message(message, after.messages.get(message.name), asked))
            enums |= {f.choices.name: (f.choices, file) for f in message.fields if f.choices}
    current = {f.choices.name: f.choices for m in after.messages.values() for f in m.fields if f.choices}
    for name, (choices, file) in enums.items():
        if name in current:  # where it is gone, its fields have another type
            found += (f"{file}: {line}" for line in _enum(choices, current[name]))
    return found


def lost(callee: Contracts, caller: Contracts, files: Container[str]) -> list[str]:
    """Fields of `files` that the caller knows and the callee does not: it would drop them from requests, and leave them out
    of replies, without a word."""
    found: list[str] = []
    for name, message in caller.messages.items():
        if message.descriptor.file.name in files and name in callee.messages:
            known = {field.name for field in callee.messages[name].fields}
            place = f"{message.descriptor.file.name}: {_short(name)}"
            found += [f"{place}.{f.name}: is not known to the callee" for f in message.fields if f.name not in known]
    return found


def _service(before: Service, after: Service | None) -> Iterator[str]:
    name = _short(before.name)
    if after is None:
        yield f"{name}: the service is gone"
        return
    methods = {method.name: method for method in after.methods}
    for method in before.methods:
        if method.name in methods:
            yield from (f"{name}.{method.name}: {line}" for line in _method(method, methods[method.name]))
        else:
            yield f"{name}.{method.name}: the method is gone"


def _method(before: Method, after: Method) -> Iterator[str]:
    for what, was, now in (
        ("request", before.request.name, after.request.name),
        ("reply", before.reply.name, after.reply.name),
        ("stream of requests", before.client_streaming, after.client_streaming),
        ("stream of replies", before.server_streaming, after.server_streaming),
        ("HTTP status", before.success_status, after.success_status),
        ("access", _access(before), _access(after)),
    ):
        if was != now:
            yield f"{what} was {_said(was)}, is {_said(now)}"
    for caller in sorted((before.internal or frozenset()) - (after.internal or frozenset())):
        if after.internal is not None:
            yield f"{caller} may no longer call it"
    for route in before.routes:
        if route not in after.routes:
            same = [new for new in after.routes if (new.verb, new.template) == (route.verb, route.template)]
            detail = f"has the body {same[0].body!r} instead of {route.body!r}" if same else "is gone"
            yield f"the route {route.verb} {route.template} {detail}"
    if before.idempotent and not after.idempotent:
        yield "is no longer idempotent"
    if after.secret_reply and not before.secret_reply:
        yield "no longer keeps replies for an Idempotency-Key (secret_reply)"


def _access(method: Method) -> str:
    return "internal" if method.internal is not None else "public" if method.public else method.permission


def _message(before: Message, after: Message | None, asked: Container[str]) -> Iterator[str]:
    name = _short(before.name)
    if after is None:
        yield f"{name}: the message is gone"
        return
    if before.event is not None and before.event != after.event:
        now = f"topic {after.event.topic!r} and key {after.event.key!r}" if after.event else "no event"
        yield f"{name}: was an event of topic {before.event.topic!r} and key {before.event.key!r}, is {now}"
    fields = {field.name: field for field in after.fields}
    numbers = {field.descriptor.number: field for field in after.fields}
    for field in before.fields:
        if field.name in fields:
            yield from (f"{name}.{field.name}: {line}" for line in _field(field, fields[field.name]))
            if before.name in asked:
                rules = _stricter(field.rules or Rules(), fields[field.name].rules or Rules())
                yield from (f"{name}.{field.name}: {line}" for line in rules)
        else:
            other = numbers.get(field.descriptor.number)
            taken = f"; number {field.descriptor.number} is {other.name} now" if other else ""
            yield f"{name}.{field.name}: the field is gone{taken}"
    known = {field.name for field in before.fields}
    for field in after.fields:
        if before.name in asked and field.name not in known and field.rules and field.rules.required:
            yield f"{name}.{field.name}: is new and required"


def _field(before: Field, after: Field) -> Iterator[str]:
    for what, was, now in (
        ("number", before.descriptor.number, after.descriptor.number),
        ("type", _type(before), _type(after)),
        ("presence", _presence(before), _presence(after)),
        ("header", before.header, after.header),
    ):
        if was != now:
            yield f"{what} was {_said(was)}, is {_said(now)}"


def _type(field: Field) -> str:
    if field.key is not None and field.value is not None:
        return f"map<{_type(field.key)}, {_type(field.value)}>"
    named = field.message or field.choices
    name = named.name if named else _TYPES[field.descriptor.type]
    return f"repeated {name}" if field.repeated else name


def _presence(field: Field) -> str:
    return f"one of {field.oneof}" if field.oneof else "tracked" if field.optional else "not tracked"


def _stricter(before: Rules, after: Rules) -> Iterator[str]:
    """Rules that refuse what was valid."""
    if after.required and not before.required:
        yield "is required now"
    for name in ("min_length", "minimum", "min_items"):
        was, now = getattr(before, name), getattr(after, name)
        if now is not None and (was is None or now > was):
            yield f"{name} was {_said(was)}, is {now}"
    for name in ("max_length", "max_bytes", "maximum", "max_items"):
        was, now = getattr(before, name), getattr(after, name)
        if now is not None and (was is None or now < was):
            yield f"{name} was {_said(was)}, is {now}"
    for name in ("pattern", "format", "id"):
        was, now = getattr(before, name), getattr(after, name)
        if now and now != was:
            yield f"{name} was {_said(was)}, is {_said(now)}"
    for name in ("keys", "values"):
        was, now = getattr(before, name), getattr(after, name)
        if now is not None:
            yield from (f"{name}: {line}" for line in _stricter(was or Rules(), now))


def _enum(before: Choices, after: Choices) -> Iterator[str]:
    numbers = {choice.name: choice.number for choice in after.values}
    for choice in before.values:
        name = f"{_short(before.name)}.{choice.name}"
        if choice.name not in numbers:
            yield f"{name}: the value is gone"
        elif numbers[choice.name] != choice.number:
            yield f"{name}: number was {choice.number}, is {numbers[choice.name]}"


def _reachable(messages: Iterable[Message]) -> set[str]:
    """Names of these messages, and of all that they hold."""
    found: set[str] = set()
    waiting = list(messages)
    while waiting:
        message = waiting.pop()
        if message.name not in found:
            found.add(message.name)
            for field in message.fields:
                held = field.message or (field.value.message if field.value is not None else None)
                waiting += [held] if held is not None else []
    return found


def _said(value: object) -> str:
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return "there" if value else "not there"
    return str(value.value) if isinstance(value, Format) else str(value)


def _short(name: str) -> str:
    """A full name without its proto package: "weather.v1.Forecast.Wind" → "Forecast.Wind"."""
    parts = name.split(".")
    first = next((index for index, part in enumerate(parts) if part[:1].isupper()), len(parts) - 1)
    return ".".join(parts[first:])
