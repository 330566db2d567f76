"""The events that a service has published: what its committed units of work left in the outbox."""

from __future__ import annotations

from typing import Any, Final

from acme.codec.avro import Avro
from acme.contract import Contracts
from acme.ports import Bus, Received, Statements, TopicPartition

_AUDIT: Final = "acme.audit.log"


class Outbox:
    """Reads the outbox of any plugin's database, and decodes it."""

    def __init__(self, contracts: Contracts) -> None:
        self._avro = Avro(contracts)

    async def read(self, database: Statements, *, key: str = "") -> list[Any]:
        """The events as messages, in the order they were published in; those of one aggregate, by its id, if given. Events
        that are on the bus already are no longer here, and audit records are read by `records`."""
        rows = await database.fetch(
            "SELECT payload FROM acme.outbox WHERE topic <> $2"
            " AND ($1 = '' OR substring(key FROM position(':' IN key) + 1) = $1) ORDER BY id",
            key,
            _AUDIT,
        )
        return [self._avro.decode(row["payload"]) for row in rows]

    async def published(self, bus: Bus, topic: str, *, key: str = "") -> list[Any]:
        """The events on a topic of the bus, in order for each aggregate; those of one aggregate, by its id, if given."""
        found: list[Received] = []
        for partition, ends in (await bus.ends(topic)).items():
            offset = ends.start
            while offset < ends.end and (records := await bus.read(TopicPartition(topic, partition), offset)):
                found += records
                offset = records[-1].offset + 1
        wanted = f":{key}".encode()
        return [
            self._avro.decode(record.value)
            for record in found
            if record.value is not None and (not key or (record.key or b"").endswith(wanted))
        ]

    async def records(self, database: Statements, *, after: int = 0) -> tuple[list[Any], int]:
        """The audit records (`acme.audit.v1.AuditRecord`), oldest first, and the place to go on from: `after`."""
        rows = await database.fetch(
            "SELECT id, payload FROM acme.outbox WHERE topic = $1 AND id > $2 ORDER BY id", _AUDIT, after
        )
        return [self._avro.decode(row["payload"]) for row in rows], max([after, *(row["id"] for row in rows)])
