"""The events that a service has published: what its committed units of work left in the outbox."""

from __future__ import annotations

from typing import Any

from acme.codec.wire import Wire
from acme.contract import Contracts
from acme.ports import Statements


class Outbox:
    """Reads the outbox of any plugin's database, and decodes it."""

    def __init__(self, contracts: Contracts) -> None:
        self._messages = contracts.messages
        self._wire = Wire(contracts)

    async def read(self, database: Statements, *, key: str = "") -> list[Any]:
        """The events as messages, in the order they were published in; those with one key, if given."""
        rows = await database.fetch(
            "SELECT type, payload FROM acme.outbox WHERE $1 IN ('', key) ORDER BY id",
            key,
        )
        return [self._wire.decoder(self._messages[row["type"]])(row["payload"]) for row in rows]
