"""The embedded log end to end, beside a bare loop of batched INSERTs of the same rows: `python -m tests.bench.log`.

End to end: one who appends batches of 500 records of 300 bytes, and a member of a group that polls and commits them, both in
this process, for as long as it takes until the last record is committed. Bare: the same rows into a plain table with a
bigserial, 500 in a statement and a commit, on one connection, which is what the log has for appending too. Rounds alternate.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import tempfile
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

import uvloop

from acme import drivers
from acme.drivers import postgres
from acme.drivers.clock import SystemClock
from acme.drivers.embedded import EmbeddedPostgres
from acme.ports import Bus, Database, Record, Topic, TopicPartition
from acme.tasks import Tasks
from acme.telemetry import Metrics
from tests.bench.scenario import Floor

BATCH: Final = 500
TOPIC: Final = "bench"
_TABLE: Final = (
    "CREATE TABLE bare (id bigserial PRIMARY KEY, key bytea NOT NULL, value bytea NOT NULL, headers bytea NOT NULL)"
)
_INSERT: Final = "INSERT INTO bare (key, value, headers) SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bytea[])"


class _Deaf:
    """A listener that has nothing to do."""

    async def assigned(self, positions: Mapping[TopicPartition, int]) -> None: ...
    async def revoked(self, places: Collection[TopicPartition]) -> None: ...
    async def lost(self, places: Collection[TopicPartition]) -> None: ...


def records(first: int, count: int) -> list[Record]:
    """As the relay makes them: 300 bytes each, keys of an aggregate that has a handful of events."""
    headers = (
        ("content-type", b"application/avro"),
        ("ce_source", b"/eu/projects"),
        ("ce_type", b"acme.projects.Made"),
    )
    return [
        Record(
            TOPIC,
            f"org_{number // 5 % 97:032x}:prj_{number // 5:032x}".encode(),
            b"\x00\x00\x00\x00\x07" + b"%0135d" % number,
            headers,
            1_790_000_000_000 + number,
            f"evt_{number:032x}",
        )
        for number in range(first, first + count)
    ]


async def bare(database: Database, batches: Sequence[Sequence[Record]]) -> float:
    """Seconds."""
    began = time.perf_counter()
    async with database.connection() as connection:
        for batch in batches:
            keys, values = [one.key for one in batch], [one.value for one in batch]
            headers = [b"".join(name.encode() + value for name, value in one.headers) for one in batch]
            await connection.execute(_INSERT, keys, values, headers)
    return time.perf_counter() - began


async def log(writer: Bus, reader: Bus, batches: Sequence[Sequence[Record]]) -> float:
    """Seconds from the first append to the last commit."""
    count = sum(map(len, batches))

    async def consume() -> None:
        left = count
        while left:
            found = await member.poll(1.0, limit=BATCH)
            if found:
                left -= len(found)
                ends = {one.partition: one.offset + 1 for one in found}
                await member.commit({TopicPartition(TOPIC, number): end for number, end in ends.items()})

    async def produce() -> None:
        for batch in batches:
            await writer.append("bench", batch)

    async with reader.subscribe("bench", [TOPIC], _Deaf()) as member:
        await member.poll(0.0)
        began = time.perf_counter()
        await asyncio.gather(consume(), produce())
        return time.perf_counter() - began


async def measure(folder: Path, rounds: int, batches: int) -> list[tuple[float, float]]:
    """Records a second of the log and of the bare loop, by round, after one that warms up."""
    server = EmbeddedPostgres(folder)
    await server.start()
    found = []
    try:
        async with Tasks("bench", Metrics()) as tasks:
            await server.create_database("bare")
            plain = await postgres.open(server.url("bare"), size=1, tasks=tasks)
            async with plain.connection() as connection:
                await connection.execute(_TABLE)
            writer, reader = (
                drivers.open_bus(
                    "log:",
                    database=server.url("bus"),
                    clock=SystemClock(),
                    tasks=tasks,
                    metrics=Metrics(),
                    connections=connections,
                )
                for connections in (1, 2)
            )
            await writer.declare([Topic(TOPIC)])
            for number in range(rounds + 1):
                made = [records((number * batches + n) * BATCH, BATCH) for n in range(batches)]
                gc.collect()
                gc.freeze()  # records of a whole round in memory are the bench's own: no collection goes over them
                took = await log(writer, reader, made), await bare(plain, made)
                gc.unfreeze()
                if number:
                    found.append((batches * BATCH / took[0], batches * BATCH / took[1]))
            for one in (writer, reader, plain):
                await one.close()
    finally:
        await server.stop()
    return found


def report(rounds: int = 9, batches: int = 60) -> list[Floor]:
    """Prints the figures."""
    with tempfile.TemporaryDirectory(prefix="acme-bench-", ignore_cleanup_errors=True) as folder:
        found = uvloop.run(measure(Path(folder) / "data", rounds, batches))
    ratios = [ours / theirs for ours, theirs in found]
    print(
        f"\nEmbedded log, {rounds} rounds of {batches * BATCH} records of 300 bytes, {BATCH} at a time, alternating:\n"
    )
    for name, values in (
        ("append, poll, commit", [one for one, _ in found]),
        ("bare INSERT loop", [one for _, one in found]),
    ):
        print(f"{statistics.median(values):10.0f} records/s ({min(values):.0f} – {max(values):.0f})  {name}")
    print(f"\nLog / bare, round by round: {min(ratios):.2f} – {max(ratios):.2f}")
    return [Floor("embedded log / bare INSERT loop", statistics.median(ratios), 0.5, at_least=True)]


def main() -> None:
    """Measures this alone."""
    for floor in report():
        print(floor.line())


if __name__ == "__main__":
    main()
