"""A process that reads a topic as a member of a group, for test_log_processes.py: URL, group, topic, name, file.

It writes a line for each record into the file and commits then; so what was committed is in a file.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Collection, Mapping
from typing import TextIO

from acme import drivers
from acme.drivers.clock import SystemClock
from acme.errors import Unavailable
from acme.ports import Fenced, TopicPartition
from acme.tasks import Tasks
from acme.telemetry import Metrics


class _Listener:
    async def assigned(self, positions: Mapping[TopicPartition, int]) -> None:
        print("assigned", *sorted(place.partition for place in positions), flush=True)

    async def revoked(self, places: Collection[TopicPartition]) -> None:
        print("revoked", *sorted(place.partition for place in places), flush=True)

    async def lost(self, places: Collection[TopicPartition]) -> None:
        print("lost", *sorted(place.partition for place in places), flush=True)


async def main(url: str, group: str, topic: str, name: str, out: TextIO) -> None:
    """Reads for ever."""
    async with Tasks("member", Metrics()) as tasks:
        bus = drivers.open_bus(
            "log:", database=url, clock=SystemClock(), tasks=tasks, metrics=Metrics(), lease=1.5, connections=2
        )
        async with bus.subscribe(group, [topic], _Listener(), member=name, drain=2.0) as member:
            while True:
                try:
                    found = await member.poll(0.5, limit=20)
                    for one in found:
                        out.write(f"{one.partition} {one.offset} {(one.value or b'').decode()}\n")
                    out.flush()
                    await member.commit({one.place: one.offset + 1 for one in found})
                except (Unavailable, Fenced):
                    await asyncio.sleep(0.02)


if __name__ == "__main__":
    url, group, topic, name, path = sys.argv[1:]
    with open(path, "a") as file:
        asyncio.run(main(url, group, topic, name, file))
