"""A record of the bus → what a consumer hears: told apart by its headers, decoded only where it is wanted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from acme.bus import record as names
from acme.contract import Contracts
from acme.plugin import Consumer, Event
from acme.ports import Received

LONGEST_KEY: Final = 1000
LONGEST_ID: Final = 200
"""Bytes of a key that can be parked, and characters of an event's id: what an index of PostgreSQL holds is limited."""


class Decoder(Protocol):
    """Turns what is on the bus into a message: Avro in Confluent's wire format."""

    def decode(self, payload: bytes) -> Any:
        """The message, brought up to the version that this process knows.

        Raises:
            ValueError: it is no such thing, or of a schema that nobody here knows.
        """
        ...


@dataclass(frozen=True, slots=True)
class Mail:
    """A record that is for a consumer, not decoded yet."""

    record: Received
    event_id: str
    type: str
    """Full name of the message; "" where the record does not say."""

    @property
    def parks(self) -> bool:
        """Whether its key tells what it belongs together with."""
        return self.record.key is not None and 0 < len(self.record.key) <= LONGEST_KEY

    @property
    def key(self) -> tuple[str, bytes]:
        """(topic, key), where it parks."""
        return self.record.topic, self.record.key or b""


class Reader:
    """Reads the records of one consumer's topics."""

    def __init__(self, consumer: Consumer, contracts: Contracts, decoder: Decoder) -> None:
        """Raises `ValueError` where a message that the consumer wants is no event."""
        wanted = [contracts.message_of(cls) for cls in consumer.messages]
        for message in wanted:
            if message.event is None:
                raise ValueError(f"the consumer {consumer.name} wants {message.name}, which is no event")
        self._decoder = decoder
        self._classes: Final = {message.name: message.cls for message in wanted}
        self.topics: Final = tuple(sorted({m.event.topic for m in wanted if m.event is not None}))
        """Those that its messages are on."""

    def wanted(self, record: Received) -> Mail | None:
        """What of a record matters; None for a message that was not asked for, and for tombstones."""
        if record.value is None:
            return None
        kind, event_id = "", ""
        for name, value in record.headers:
            if name == names.TYPE:
                kind = _text(value)
                if kind not in self._classes:
                    return None
            elif name == names.ID:
                event_id = _text(value)
        if not 0 < len(event_id) <= LONGEST_ID:
            event_id = f"{record.topic}/{record.partition}/{record.offset}"
        return Mail(record, event_id, kind)

    def read(self, mail: Mail) -> Event[Any] | None:
        """The event; None where it turns out not to be one of those asked for.

        Raises:
            ValueError: it cannot be decoded.
        """
        record = mail.record
        message = self._decoder.decode(record.value or b"")
        if type(message) not in self._classes.values():
            if mail.type:
                raise ValueError("it is not what its header says")
            return None
        said = {name: _text(value) for name, value in record.headers}
        organization, _, aggregate = _text(record.key or b"").partition(":")
        return Event(
            message=message,
            id=mail.event_id,
            source=said.get(names.SOURCE, "").rpartition("/")[2],
            occurred_at=_time(said, record),
            organization=organization,
            aggregate=aggregate,
            principal_kind=said.get(names.PRINCIPAL_KIND, ""),
            principal_id=said.get(names.PRINCIPAL_ID, ""),
            request_id=said.get(names.REQUEST_ID, ""),
            traceparent=said.get(names.TRACEPARENT, ""),
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
        )


def _text(value: bytes) -> str:
    return value.decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}")


def _time(said: Mapping[str, str], record: Received) -> datetime:
    """When it happened, by the header, else when it was sent. Raises `ValueError` where that is beyond all years."""
    try:
        at = datetime.fromisoformat(said[names.TIME])
        return at.astimezone(UTC) if at.tzinfo is not None else at.replace(tzinfo=UTC)
    except (KeyError, ValueError, OverflowError):
        try:
            return datetime.fromtimestamp(record.timestamp / 1000, UTC)
        except (OverflowError, OSError) as error:
            raise ValueError("its timestamp is no time") from error
