"""Events on their way into the outbox: a message of a contract → a row with the
message in Avro, and the headers that travel with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from acme.codec.avro import Avro
from acme.context import Call, Kind
from acme.contract import Contracts, Message
from acme.work import store

LARGEST: Final = 1_000_000
"""Bytes of an encoded event. Every bus takes a record of this size (Kafka's own default is 1 MiB with headers and key): a
larger one would be refused when its unit has long committed, and hold up all that comes after it."""


class Outbox:
    """Encodes events; each kind of message is looked up once."""

    def __init__(self, contracts: Contracts, avro: Avro) -> None:
        self._contracts = contracts
        self._avro = avro
        self._rows: Final[dict[type, Callable[[Any, str], store.Event]]] = {}

    def row(self, message: Any, event_id: str) -> store.Event:
        """The row of an event.

        Raises:
            ValueError: the message is no event, its key is empty, Avro cannot carry it, or it is larger than `LARGEST`.
        """
        row = self._rows.get(type(message))
        if row is None:
            row = self._rows[type(message)] = self._compile(type(message))
        return row(message, event_id)

    def _compile(self, cls: type) -> Callable[[Any, str], store.Event]:
        message = self._contracts.message_of(cls)
        event = message.event
        if event is None:
            raise ValueError(f"{message.name} is no event: it lacks the option acme.options.v1.event")
        aggregate_of, organization_of = _getter(message, event.key), _getter(message, event.organization)
        encode = self._avro.encoder(message)
        topic, name, key_name = event.topic, message.name, event.key

        def row(value: Any, event_id: str) -> store.Event:
            aggregate, organization = aggregate_of(value), organization_of(value)
            if aggregate == "":
                raise ValueError(f"{name} orders by {key_name}, which is empty")
            payload = encode(value)
            if len(payload) > LARGEST:
                raise ValueError(
                    f"{name} has {len(payload)} bytes, and an event has {LARGEST} at most: announce the id of what is large"
                )
            return store.Event(event_id, topic, f"{organization}:{aggregate}", name, payload, organization)

        return row


def _getter(message: Message, path: str) -> Callable[[Any], str]:
    """Reads the field at a path such as "project.organization_id" as text; "" where it is absent, and for an empty path."""
    attrs: list[str] = []
    here: Message | None = message
    for name in filter(None, path.split(".")):
        field = next(field for field in here.fields if field.name == name) if here is not None else None
        if field is None:
            raise ValueError(f"{message.name}: {path!r} is no field")
        attrs.append(field.attr)
        here = field.message

    def get(value: Any) -> str:
        if not attrs:
            return ""
        for attr in attrs:
            value = getattr(value, attr)
            if value is None:
                return ""
        return str(value)

    return get


def headers(call: Call | None, plugin: str, caused: str = "") -> str:
    """What travels with the events of a unit of work, as JSON: who caused them, and in which request. `caused` is the trace
    context that names their own step, where that is recorded."""
    if call is None:
        said = {"request_id": "", "traceparent": "", "principal_kind": Kind.SERVICE, "principal_id": plugin}
    else:
        said = {
            "request_id": call.request_id,
            "traceparent": caused or call.caused,
            "principal_kind": call.principal.kind,
            "principal_id": call.principal.id,
        }
    return msgspec.json.encode(said).decode()
