"""`Avro`: events ⇄ Avro in Confluent's wire format: a zero byte, the schema's id (int32, big-endian), the Avro."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec
from fastavro import parse_schema, schemaless_reader, schemaless_writer
from fastavro.read import SchemaResolutionError
from fastavro.schema import SchemaParseException

from acme.codec.avro.builder import Builder, Taker
from acme.codec.avro.depth import Depth, endless
from acme.codec.avro.released import Released, Version
from acme.codec.avro.schema import Schema, bare
from acme.codec.avro.upcasting import Upcaster
from acme.contract import Contracts, Message

_PREFIX: Final = struct.Struct(">bi")

_UNFIT: Final = (TypeError, AttributeError, OverflowError, RecursionError)
"""What values of the wrong type raise, beside ValueError."""

_GARBAGE: Final = (
    ValueError,  # bytes that are no UTF-8, JSON that is none, and whatever fastavro says of a schema
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    AttributeError,
    OverflowError,
    MemoryError,
    RecursionError,
    struct.error,
    msgspec.DecodeError,
    SchemaParseException,
    SchemaResolutionError,
)
"""What bytes that are no event raise on the way."""


class Undecodable(ValueError):
    """Bytes are no event that can be read. The text says why, and holds none of them."""


class UnknownSchema(Undecodable):
    """The bytes name a schema that is not known here: of a plugin that is not installed, or from the future."""

    def __init__(self, schema_id: int) -> None:
        super().__init__(f"no schema with the id {schema_id} is known here")
        self.schema_id = schema_id


class Avro:
    """The Avro codecs of all events; each is made when it is first asked for."""

    def __init__(self, contracts: Contracts, upcasters: Iterable[Upcaster] = ()) -> None:
        """
        Raises:
            ContractError: see `Released`.
            KeyError, ValueError: as `upcast`.
        """
        self._contracts = contracts
        self.released: Final = Released(contracts)
        """Every schema, for those who look one up."""
        self._builder, self._taker = Builder(), Taker()
        self._decoders: dict[int, Callable[[bytes], Any]] = {}
        self._upcasters: dict[tuple[str, int], Upcaster] = {}
        self.upcast(upcasters)

    def upcast(self, upcasters: Iterable[Upcaster]) -> None:
        """Adds upcasters, all or none; before anything is decoded.

        Raises:
            KeyError: the message of one is not loaded.
            ValueError: one is for what is no event, or from a version that has no next; or there are two from one version.
        """
        added = dict(self._upcasters)
        for upcaster in upcasters:
            message = self._contracts.message_of(upcaster.message)
            if message.event is None:
                raise ValueError(f"{message.name} is no event, and has an upcaster")
            if not 0 < upcaster.version < self.released.current(message).number:
                raise ValueError(f"{message.name} has no version after {upcaster.version}, and an upcaster to it")
            if added.setdefault((message.name, upcaster.version), upcaster) is not upcaster:
                raise ValueError(f"{message.name} has two upcasters from version {upcaster.version}")
        self._upcasters = added

    def encoder(self, m: Message) -> Callable[[Any], bytes]:
        """Event → payload.

        The encoder raises ValueError for what Avro cannot carry, as that of `acme.codec.wire` does, and for a member of an
        enum without a name. The text names the field and never the value.
        """
        self._contracts.require(m)
        version = self.released.current(m)
        build, schema, depth = self._builder.function(m), _parsed(version), _depth(version)
        prefix = _PREFIX.pack(0, version.id)

        def encode(message: Any) -> bytes:
            try:
                datum = build(message)
            except _UNFIT:
                raise ValueError(f"{m.name}: a value of the wrong type, which Avro cannot carry") from None
            out = io.BytesIO()
            out.write(prefix)
            schemaless_writer(out, schema, datum)
            if depth is not None:
                depth.check(out.getvalue()[_PREFIX.size :])
            return out.getvalue()

        return encode

    def decode(self, payload: bytes) -> Any:
        """Payload → event: an instance of its message's class, as the contract is today.

        Raises:
            UnknownSchema, Undecodable
        """
        return self.decoder(self.id_of(payload))(payload)

    def id_of(self, payload: bytes) -> int:
        """Id of the schema that a payload was written with.

        Raises:
            Undecodable: it does not begin as payloads do.
        """
        if len(payload) < _PREFIX.size or payload[0] != 0:
            raise Undecodable("the payload does not begin with a zero byte and the id of a schema")
        schema_id: int = _PREFIX.unpack_from(payload)[1]
        return schema_id

    def decoder(self, schema_id: int) -> Callable[[bytes], Any]:
        """What decodes payloads of one schema. Raises UnknownSchema; the decoder raises Undecodable."""
        made = self._decoders.get(schema_id)
        if made is None:
            made = self._decoders[schema_id] = self._decoder(schema_id)
        return made

    def message_of(self, schema_id: int) -> Message:
        """The message that a schema is of. Raises UnknownSchema."""
        return self._known(schema_id)[1]

    def schema(self, m: Message) -> Schema:
        """The schema an event is written with, as JSON values: with logical types, for other tools."""
        return self.released.current(m).schema()

    def datum(self, m: Message) -> Callable[[Any], dict[str, Any]]:
        """Event → what fastavro writes with its schema."""
        self._contracts.require(m)
        return self._builder.function(m)

    def _known(self, schema_id: int) -> tuple[Version, Message]:
        version = self.released.of_id(schema_id)
        message = self._contracts.messages.get(version.message) if version is not None else None
        if version is None or message is None or message.event is None:
            raise UnknownSchema(schema_id)
        return version, message

    def _decoder(self, schema_id: int) -> Callable[[bytes], Any]:
        version, message = self._known(schema_id)
        read, take = self._reader(version, self.released.current(message)), self._taker.function(message)
        name, number, depth = message.name, version.number, _depth(version)

        def decode(payload: bytes) -> Any:
            source = io.BytesIO(payload)
            source.seek(_PREFIX.size)
            try:
                if depth is not None:
                    depth.check(payload[_PREFIX.size :])
                made = take(read(source))
            except _GARBAGE as error:
                raise Undecodable(f"the payload is no {name} of version {number} ({type(error).__name__})") from None
            if source.tell() != len(payload):
                raise Undecodable(f"the payload goes on after a {name} of version {number}")
            return made

        return decode

    def _reader(self, written: Version, wanted: Version) -> Callable[[io.BytesIO], Any]:
        """Reads Avro of one version as another one, by Avro's own resolution and by the upcasters between them."""
        writer, reader = _parsed(written), _parsed(wanted)
        steps = [
            upcaster
            for number in range(written.number, wanted.number)
            if (upcaster := self._upcasters.get((written.message, number))) is not None
        ]
        if not steps:
            if written == wanted:
                return lambda source: schemaless_reader(source, writer, None)
            return lambda source: schemaless_reader(source, writer, reader)
        versions = {each.number: _parsed(each) for each in self.released.subjects[wanted.subject]}

        def upcast(source: io.BytesIO) -> Any:
            here = written.number
            data: Any = schemaless_reader(source, writer, None)
            for step in steps:
                data = step.upcast(_resolved(data, versions[here], versions[step.version]))
                here = step.version + 1
            return _resolved(data, versions[here], reader)

        return upcast


def _depth(version: Version) -> Depth | None:
    """What payloads have to pass before fastavro reads them; `None` where nothing can happen."""
    schema = version.schema()
    return Depth(schema) if endless(schema) else None


def _parsed(version: Version) -> Any:
    return parse_schema(bare(version.schema()))


def _resolved(data: dict[str, Any], writer: Any, reader: Any) -> Any:
    """What a reader makes of data of another version; absent fields become their defaults."""
    out = io.BytesIO()
    schemaless_writer(out, writer, data)
    out.seek(0)
    return schemaless_reader(out, writer, reader)
