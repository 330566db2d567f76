"""All consumers of one plugin in this process: members of their groups, replays, lag and housekeeping.

measures = Measures(metrics, "kafka")                                  # one a process
consumers = Consumers(plugin, units, resources, bus, contracts, avro, settings.topic, tasks, measures)
consumers.start()
…
await consumers.stop()                                                  # before the tasks stop
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any, Final

from acme.bus import inbox
from acme.bus.consumer import Handling
from acme.bus.decoding import Decoder, Reader
from acme.bus.group import DRAIN, Member
from acme.bus.measures import Group, Measures, Standing
from acme.bus.replay import Replayer
from acme.contract import Contracts
from acme.errors import Unavailable
from acme.plugin import Consumer, Plugin, Resources
from acme.ports import Bus, Topic, TopicPartition
from acme.tasks import Tasks
from acme.telemetry import logger
from acme.traces import Tracer
from acme.work import UnitFactory

log: Final = logger(__name__)

AT_ONCE: Final = 4
"""Units of work that the consumers of a plugin have open at a time; its calls share the same connections."""
LOOK: Final = 5.0
"""Seconds between two looks at how far the topics reach and how many dead letters there are."""
REPLAY: Final = 1.0
"""Seconds between two looks for replays that are asked for."""
SWEEP: Final = 60.0
SWEEP_ROWS: Final = 1000
"""Seconds between two rounds of housekeeping, and rows that one statement of it deletes at most."""
MARGIN: Final = 7 * 86_400.0
"""Seconds that the inbox remembers an event for longer than its topic keeps it."""
STUCK: Final = 60.0
"""Seconds without progress after which a partition with events counts as stuck."""


class Consumers:
    """What a plugin hears in this process."""

    def __init__(
        self,
        plugin: Plugin,
        units: UnitFactory,
        resources: Resources[Any],
        bus: Bus,
        contracts: Contracts,
        decoder: Decoder,
        topic: Callable[[str], Topic],
        tasks: Tasks,
        measures: Measures,
        *,
        member: str = "",
        drain: float = DRAIN,
        at_once: int = AT_ONCE,
        tracer: Tracer | None = None,
    ) -> None:
        """`topic` says how a topic is kept, by its name; `member` is a name of this process that outlives restarts.

        Raises:
            ValueError: a consumer wants a message that is no event.
        """
        places = asyncio.Semaphore(at_once)

        def handling(consumer: Consumer) -> Handling:
            reader = Reader(consumer, contracts, decoder)
            return Handling(plugin, consumer, units, resources, reader, measures, places, tracer)

        self._listening: Final = [
            _Listening(
                handling(consumer),
                resources,
                bus,
                topic,
                tasks,
                measures,
                member,
                drain,
            )
            for consumer in plugin.consumers
        ]

    def start(self) -> None:
        """Listens until `stop`."""
        for each in self._listening:
            each.start()

    async def stop(self) -> None:
        """Ends in order what is under way, commits it, and leaves the groups."""
        await asyncio.gather(*(each.member.stop() for each in self._listening))

    def notes(self) -> Mapping[str, str]:
        """For readiness: what is wrong with each consumer that stands still, by its name."""
        return {each.name: note for each in self._listening if (note := each.note())}


class _Listening:
    """One consumer, with all that belongs to it."""

    def __init__(
        self,
        handling: Handling,
        resources: Resources[Any],
        bus: Bus,
        topic: Callable[[str], Topic],
        tasks: Tasks,
        measures: Measures,
        member: str,
        drain: float,
    ) -> None:
        self.name: Final = handling.name
        self.member: Final = Member(handling, bus, resources.clock, tasks, measures, member=member, drain=drain)
        self._handling, self._clock, self._bus, self._tasks = handling, resources.clock, bus, tasks
        self._replayer = Replayer(handling, resources.clock)
        self._ends: dict[tuple[str, int], int] = {}
        self._careful: set[TopicPartition] = set()
        """What the last look found to be gone through after a loss."""
        self._group = measures.groups[self.name] = Group(self.standing)
        self._remembered = _remembered([topic(name) for name in handling.reader.topics])

    def start(self) -> None:
        """Begins all of it."""
        self.member.start()
        self._tasks.loop(f"{self.name}.replay", self._replayer.turn, pause=REPLAY)
        self._tasks.loop(f"{self.name}.depth", self._count, pause=LOOK)
        self._tasks.loop(f"{self.name}.lag", self._look, pause=LOOK)
        self._tasks.loop(f"{self.name}.housekeeping", self._sweep, pause=SWEEP)

    def standing(self) -> Mapping[str, Standing]:
        """How far behind the workers are, by topic."""
        found = {topic: Standing() for topic in self._handling.reader.topics}
        now = self._clock.time()
        for place, worker in self.member.workers.items():
            end = self._ends.get((place.topic, place.partition), 0)
            lag = max(0, end - worker.position, worker.waiting)
            if not lag:
                worker.moved_at = time.monotonic()
                continue
            unmoved = time.monotonic() - worker.moved_at
            standing = found[place.topic]
            standing.messages += lag
            standing.seconds = max(standing.seconds, now - worker.oldest if worker.oldest is not None else unmoved)
            standing.stuck += unmoved > STUCK
        return found

    def note(self) -> str:
        """What is wrong, "" for nothing."""
        stuck = {topic: each.stuck for topic, each in self.standing().items() if each.stuck}
        return "; ".join(f"{count} partitions of {topic} stand still" for topic, count in stuck.items())

    async def _look(self) -> None:
        careful = {place for place, worker in self.member.workers.items() if worker.careful}
        if new := careful - self._careful:
            log.warning("a process was lost: events are begun one by one", consumer=self.name, partitions=len(new))
        self._careful = careful
        try:
            for topic in self._handling.reader.topics:
                for number, ends in (await self._bus.ends(topic)).items():
                    self._ends[topic, number] = ends.end
        except Unavailable:
            return  # whoever polls tells that the bus is away
        self.standing()  # whoever has nothing to do is not standing still

    async def _count(self) -> None:
        self._group.letters = await inbox.depth(self._handling.units.database, self.name)

    async def _sweep(self) -> None:
        if self._remembered is None:
            return
        until = self._clock.now() - timedelta(seconds=self._remembered)
        forget = partial(inbox.prune, self._handling.units.database, self.name, until, SWEEP_ROWS)
        while await forget() >= SWEEP_ROWS:
            pass


def _remembered(topics: list[Topic]) -> float | None:
    """Seconds that the inbox has to remember an event: until no bus can deliver it any more. None: for ever."""
    if any(topic.compact or not topic.retention for topic in topics):
        return None
    return max(topic.retention for topic in topics) + MARGIN


def named(plugin: Plugin) -> Mapping[str, Consumer]:
    """A plugin's consumers by their groups on the bus."""
    return {f"{plugin.name}.{consumer.name}": consumer for consumer in plugin.consumers}
