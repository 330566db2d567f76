"""What is heard, and that it is heard again after the connection broke."""

from __future__ import annotations

from acme.drivers import postgres
from acme.drivers.log.link import Link
from acme.drivers.log.listening import Listening
from acme.tasks import Tasks
from acme.telemetry import Metrics
from tests.unit.acme.drivers.log.conftest import ask, kill_others
from tests.waiting import until


class Ear:
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.records: list[frozenset[int] | None] = []
        self.groups: list[int | None] = []

    def records_came(self, partitions: frozenset[int] | None) -> None:
        self.records.append(partitions)

    def group_changed(self, group: int | None) -> None:
        self.groups.append(group)


async def test_ears_hear_everything_once_the_connection_stands_and_then_what_is_said(
    url: str, database: postgres.Pool, tasks: Tasks
) -> None:
    link = Link(url, connections=1, limit=10.0, tasks=tasks, metrics=Metrics())
    listening, ear, late = Listening(link, tasks), Ear(), Ear()
    listening.add(ear)

    async def stands() -> bool:
        return listening.stands

    await until(stands)
    assert (ear.records, ear.groups) == ([None], [None])
    listening.add(late)
    for said in ("p3,5", "g7", "p"):
        await ask(database, "SELECT pg_notify('acme_bus', $1)", said)

    async def all_heard() -> bool:
        return len(late.records) == 2

    await until(all_heard)
    assert ear.records == [None, frozenset({3, 5}), None]
    assert (ear.groups, late.groups) == ([None, 7], [7])
    listening.remove(late)
    listening.close()
    await link.close()


async def test_after_the_connection_broke_everything_may_have_changed(
    url: str, database: postgres.Pool, tasks: Tasks
) -> None:
    link = Link(url, connections=1, limit=10.0, tasks=tasks, metrics=Metrics())
    listening, ear = Listening(link, tasks), Ear()
    listening.add(ear)

    async def stands() -> bool:
        return listening.stands

    async def heard_again() -> bool:
        return ear.records == [None, None]

    await until(stands)
    assert await kill_others(database) >= 1
    await until(heard_again)
    assert listening.stands
    listening.close()
    await link.close()
