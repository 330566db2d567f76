"""Keeps a plugin's topics for good (`acme.Archive`): files in the object store, made by `archiving.py`.

archivers = Archivers(plugin, units, resources, bus, contracts, avro, rules, tasks, measures)
archivers.start()
…
await archivers.stop()

Processes share the partitions as members of the group `PLUGIN.archive`; its committed offsets are for operators. Two
archivers of one partition do no harm, so nothing is drained when it changes hands. A partition that cannot be archived is
tried again, more and more rarely, and keeps no other from it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from acme.archives import Layout, Manifest
from acme.archives.manifest import LOST
from acme.bus.archiving import PartitionArchive, Rules
from acme.bus.decoding import Reader
from acme.codec.avro import Avro
from acme.contract import Contracts
from acme.errors import Unavailable
from acme.plugin import Archive, Consumer, Event, Plugin, Resources
from acme.ports import Bus, Fenced, Subscription, TopicPartition
from acme.tasks import Tasks
from acme.telemetry import Metrics, logger
from acme.work import UnitFactory

log: Final = logger(__name__)

POLL: Final = 1.0
"""Seconds between two signs of life to the group."""
LOOK: Final = 2.0
"""Seconds between two looks at how far the topics reach."""
AGAIN: Final = 2.0
AGAIN_MOST: Final = 60.0
"""Seconds until a partition that could not be archived is tried again: doubled each time, up to so many."""


class ArchiveMeasures:
    """The metrics of all archivers of a process."""

    def __init__(self, metrics: Metrics) -> None:
        self.archivers: Final[list[Archiver]] = []
        self.files: Final = metrics.counter("acme_archive_files_total", "Archive files with manifests.", ("topic",))
        self.failures: Final = metrics.counter(
            "acme_archive_failures_total", "Attempts at archiving a partition that failed.", ("topic", "error_type")
        )
        self.lost: Final = metrics.counter(
            "acme_archive_lost_records_total", "Offsets that the bus dropped before they were archived.", ("topic",)
        )
        metrics.gauge(
            "acme_archive_lag_seconds",
            "Age of the oldest event that is not archived, in the partitions that this process archives.",
            ("topic",),
            lambda: {(each.topic,): each.lag() for each in self.archivers},
        )


class Archivers:
    """All that a plugin archives in this process."""

    def __init__(
        self,
        plugin: Plugin,
        units: UnitFactory,
        resources: Resources[Any],
        bus: Bus,
        contracts: Contracts,
        avro: Avro,
        rules: Rules,
        tasks: Tasks,
        measures: ArchiveMeasures,
        *,
        member: str = "",
        look: float = LOOK,
    ) -> None:
        """
        Raises:
            ValueError: one of the messages is no event, or two are of one topic.
        """
        events = [contracts.message_of(archive.message).event for archive in plugin.archives]
        if len({event.topic for event in events if event is not None}) != len(events):
            raise ValueError(f"the plugin {plugin.name} archives one topic twice, or a message that is no event")
        self._archivers: Final = [
            Archiver(plugin, archive, units, resources, bus, contracts, avro, rules, tasks, measures, member, look)
            for archive in plugin.archives
        ]

    def start(self) -> None:
        """Archives until `stop`."""
        for each in self._archivers:
            each.start()

    async def stop(self) -> None:
        """Leaves the groups. A file that is under way is left to whoever comes next."""
        await asyncio.gather(*(each.stop() for each in self._archivers))

    def notes(self) -> Mapping[str, str]:
        """For readiness: what is wrong with each topic, by its archiver's name."""
        return {each.name: note for each in self._archivers if (note := each.note())}


class Archiver:
    """Archives one topic (`ports.Listener`)."""

    def __init__(
        self,
        plugin: Plugin,
        archive: Archive,
        units: UnitFactory,
        resources: Resources[Any],
        bus: Bus,
        contracts: Contracts,
        avro: Avro,
        rules: Rules,
        tasks: Tasks,
        measures: ArchiveMeasures,
        member: str,
        look: float,
    ) -> None:
        message = contracts.message_of(archive.message)
        self._reader = Reader(Consumer("archive", (archive.message,), _nobody), contracts, avro)
        self._layout, self._message = Layout(avro, message), message
        self.topic: Final = self._layout.topic
        self.name: Final = f"{plugin.name}.archive" + (f".{self.topic}" if len(plugin.archives) > 1 else "")
        self._archive, self._units, self._resources = archive, units, resources
        self._bus, self._rules, self._tasks, self._measures = bus, rules, tasks, measures
        self._member, self._look = member, look
        self._partitions: dict[TopicPartition, PartitionArchive] = {}
        self._failing: dict[TopicPartition, tuple[str, float, float]] = {}
        """What is wrong, seconds of the last pause, and when to try again."""
        self._committed: dict[TopicPartition, int] = {}
        self._stopping, self._ended = asyncio.Event(), asyncio.Event()
        measures.archivers.append(self)

    def start(self) -> None:
        """Joins the group, and archives what it gets."""
        self._tasks.loop(f"{self.name}.member", self._join, pause=0.05)
        self._tasks.loop(f"{self.name}.files", self._round, pause=self._look)

    async def stop(self) -> None:
        """Leaves the group."""
        self._stopping.set()
        await self._ended.wait()

    def lag(self) -> float:
        """Seconds since the oldest event that is not archived."""
        now = self._resources.clock.time()
        return max((now - each.oldest for each in self._partitions.values() if each.oldest is not None), default=0.0)

    def note(self) -> str:
        """What is wrong, "" for nothing."""
        wrong = [f"partition {place.partition}: {text}" for place, (text, _, _) in sorted(self._failing.items())]
        return f"{self.topic} is not archived: {'; '.join(wrong)}" if wrong else ""

    async def _join(self) -> None:
        if self._stopping.is_set():
            self._ended.set()
            await asyncio.Event().wait()  # for the end of the tasks
        try:
            async with self._bus.subscribe(
                self.name, [self.topic], self, member=self._member, drain=1.0
            ) as subscription:
                while not self._stopping.is_set():
                    await self._stay(subscription)
        except Unavailable as error:
            log.warning("the bus is away", archiver=self.name, error=str(error))
            await self._wait(AGAIN)
        finally:
            await self.lost(tuple(self._partitions))

    async def _stay(self, subscription: Subscription) -> None:
        """Keeps the membership alive. Records come by `read`, at their own pace; what `poll` gives is left aside."""
        try:
            await subscription.poll(POLL if self._partitions else POLL / 4, limit=1)
            for place in self._partitions:
                subscription.pause(place)
            if self._stopping.is_set():
                return
            wanted = {
                place: each.position
                for place, each in self._partitions.items()
                if each.position and each.position != self._committed.get(place)
            }
            if wanted:
                with suppress(Fenced):
                    await subscription.commit(wanted)
                    self._committed |= wanted
        except Unavailable as error:
            log.warning("the bus is away", archiver=self.name, error=str(error))
            await self._wait(AGAIN)

    async def _wait(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _round(self) -> None:
        """Archives what is due in our partitions, one file after the other."""
        if not self._partitions:
            return
        for place, each in tuple(self._partitions.items()):
            if time.monotonic() >= self._failing.get(place, ("", 0.0, 0.0))[2]:
                failure = await self._tasks.outcome(f"{self.name}.file", self._attempt(place, each))
                if failure is not None:
                    self._noted(place, failure)

    async def _attempt(self, place: TopicPartition, each: PartitionArchive) -> None:
        try:
            await self._step(place, each)
        except Unavailable as error:
            log.warning("cannot archive now", topic=self.topic, **_where(place), error=str(error))
            self._noted(place, error)
        else:
            self._noted(place, None)

    async def _step(self, place: TopicPartition, each: PartitionArchive) -> None:
        """Archives a partition as far as it goes."""
        while self._partitions.get(place) is each:
            before = each.lost
            ends = (await self._bus.ends(self.topic))[place.partition]
            manifest = await each.step(ends)
            if each.lost > before:
                log.error(
                    "the bus has dropped what was not archived", topic=self.topic, **_where(place), lost=each.lost
                )
            if manifest is None:
                return
            self._told(place, manifest)

    def _told(self, place: TopicPartition, manifest: Manifest) -> None:
        self._measures.files.bind(self.topic).add()
        lost = sum(gap.end - gap.start for gap in manifest.gaps if gap.reason == LOST)
        if lost:
            self._measures.lost.bind(self.topic).add(lost)
            log.error("records are lost to the archive", topic=self.topic, **_where(place), lost=lost)
        if manifest.unproven:
            log.warning(
                "an archive file was taken over whose records the bus has no more",
                topic=self.topic,
                **_where(place),
                start=manifest.start,
                records=manifest.unproven,
            )

    def _noted(self, place: TopicPartition, failure: Exception | None) -> None:
        if failure is None:
            self._failing.pop(place, None)
            return
        self._measures.failures.bind(self.topic, type(failure).__name__).add()
        _, pause, _ = self._failing.get(place, ("", AGAIN / 2, 0.0))
        pause = min(pause * 2, AGAIN_MOST)
        self._failing[place] = (str(failure) or type(failure).__name__, pause, time.monotonic() + pause)

    async def _seal(self, events: Sequence[Event[Any]]) -> Sequence[Any]:
        with self._units.outside():
            return await self._archive.seal(self._resources, events)

    # What the subscription calls.

    async def assigned(self, positions: Mapping[TopicPartition, int]) -> None:
        """These are ours now."""
        for place in positions:
            self._partitions[place] = PartitionArchive(
                place,
                self._layout,
                self._message,
                self._reader,
                self._bus,
                self._resources.archive,
                self._resources.clock,
                self._rules,
                self._seal,
            )
            self._committed.pop(place, None)

    async def revoked(self, places: Collection[TopicPartition]) -> None:
        """These go to another, who may have begun by now: that does no harm."""
        await self.lost(places)

    async def lost(self, places: Collection[TopicPartition]) -> None:
        """These are another's."""
        for place in places:
            self._partitions.pop(place, None)
            self._failing.pop(place, None)


def _where(place: TopicPartition) -> dict[str, int]:
    return {"partition": place.partition}


async def _nobody(resources: Resources[Any], event: Event[Any]) -> None:
    """The handler of a consumer that only reads."""
