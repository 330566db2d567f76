"""A data folder of a platform that has run, with dead letters in it, for tests of what operators do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from acme.bus.record import record
from acme.contracts.users.v1 import UserCreated
from acme.ports import Record
from acme.runtime.assembly import Node, assemble
from acme.runtime.operating import Which, list_letters, the_bus
from acme.runtime.settings import Config, load
from acme.runtime.visiting import House, visit
from tests.waiting import until

WITNESS: Final = "audit.witness"
TOPIC: Final = "acme.users.events"


def settings(data: Path, **tables: Mapping[str, Any]) -> Config:
    """Everything embedded, in this folder, on any free port."""
    return load(values={"platform": {"data": str(data)}, "gateway": {"port": 0}, **tables})


def event(house: House, number: int, user: str, *, garbage: bool = False) -> Record:
    """An event of the users service, or one that nobody can decode."""
    message = house.contracts.message_of(UserCreated)
    payload = house.avro.encoder(message)(UserCreated(user_id=user, organization_id="org_1"))
    return record(
        source="/local/users",
        event_id=f"evt_{number}",
        topic=TOPIC,
        key=f":{user}",
        kind=message.name,
        payload=b"\0\0\0\0\x07garbage" if garbage else payload,
        said={"request_id": "req_1"},
        at=house.clock.now(),
    )


@asynccontextmanager
async def poisoned(data: Path) -> AsyncIterator[tuple[Node, House]]:
    """A platform that runs on the folder, and a visit to it. Its witness has two letters of one key, one of another."""
    config = settings(data)
    async with assemble(config) as node, visit(config) as house:
        records = [
            event(house, 1, "usr_bad", garbage=True),
            event(house, 2, "usr_bad"),
            event(house, 3, "usr_good"),
            event(house, 4, "usr_worse", garbage=True),
        ]
        await the_bus(house).append("tests", records)

        async def parked() -> bool:
            return len(await list_letters(house, Which(consumer=WITNESS))) == 3

        await until(parked, 20)
        yield node, house
