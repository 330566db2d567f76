"""The events that a service has published: what its committed units of work left in the outbox."""

from __future__ import annotations

from typing import Any

from acme.codec.avro import Avro
from acme.contract import Contracts
from acme.ports import Statements


class Outbox:
    """Reads the outbox of any plugin's database, and decodes it."""

    def __init__(self, contracts: Contracts) -> None:
        self._avro = Avro(contracts)

    async def read(self, database: Statements, *, key: str = "") -> list[Any]:
        """The events as messages, in the order they were published in; those of one aggregate, by its id, if given. Events
        that are on the bus already are no longer here."""
        rows = await database.fetch(
            "SELECT payload FROM acme.outbox WHERE $1 = '' OR substring(key FROM position(':' IN key) + 1) = $1 ORDER BY id",
            key,
        )
        return [self._avro.decode(row["payload"]) for row in rows]
