"""Every record is archived exactly once, whoever is killed, and however many do it; what was lost is said to be."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from acme.archives.manifest import read_manifest
from acme.bus.archiving import Astray, Rules
from acme.contracts.projects.v1 import ProjectCreated
from acme.drivers.files import Files
from acme.drivers.log import retention
from acme.drivers.log.bus import Log
from acme.errors import Unavailable
from acme.plugin import Event
from acme.ports import Ends
from acme.testing.server import Server
from tests.archives import RETENTION, Shelf, names, seal, shelf


@pytest.fixture
async def url(postgres: Server) -> AsyncIterator[str]:
    async with postgres.database() as name:
        yield postgres.url(name)


@pytest.fixture(name="shelf")
async def _shelf(url: str, tmp_path: Path) -> AsyncIterator[Shelf]:
    async with shelf(url, tmp_path) as made:
        yield made


async def archived(shelf: Shelf) -> list[int]:
    """Offsets that are archived; reading proves the files."""
    return [each.offset for each in await shelf.read()]


async def test_files_end_before_the_multiples_of_the_setting(shelf: Shelf) -> None:
    await shelf.send(34)
    made = await shelf.run()
    assert [(each.start, each.next, each.count) for each in made] == [(0, 10, 10), (10, 20, 10), (20, 30, 10)]
    assert [each.previous == "" for each in made] == [True, False, False]
    assert await archived(shelf) == list(range(30))


async def test_a_quiet_partition_is_archived_early_and_then_up_to_the_next_multiple(shelf: Shelf) -> None:
    await shelf.send(7)
    assert await shelf.run() == []
    shelf.clock.advance(timedelta(seconds=299))
    assert await shelf.run() == []
    shelf.clock.advance(timedelta(seconds=2))
    assert [(each.start, each.next) for each in await shelf.run()] == [(0, 7)]
    await shelf.send(14)
    assert [(each.start, each.next) for each in await shelf.run()] == [(7, 10), (10, 20)]
    assert await archived(shelf) == list(range(20))


async def test_a_record_does_not_wait_for_ever_for_others_to_stop_coming(shelf: Shelf) -> None:
    archiver = shelf.archiver()
    for _ in range(14):
        await shelf.send(1)
        if made := await shelf.run(archiver):
            break
        shelf.clock.advance(timedelta(seconds=290))
    else:
        pytest.fail("it was never archived")
    assert made[0].start == 0
    assert made[0].first_timestamp is not None
    assert shelf.clock.time() - made[0].first_timestamp / 1000 < 3600 + 291


async def test_the_oldest_that_is_not_archived_is_known(shelf: Shelf) -> None:
    archiver = shelf.archiver()
    assert await archiver.step(await shelf.ends()) is None
    assert archiver.oldest is None
    before = shelf.clock.time()
    await shelf.send(1)
    shelf.clock.advance(timedelta(seconds=100))
    await shelf.send(1)
    await shelf.run(archiver)
    assert archiver.oldest == pytest.approx(before, abs=5)
    shelf.clock.advance(timedelta(seconds=400))
    await shelf.run(archiver)
    assert archiver.oldest is None


async def test_files_are_the_same_whenever_and_by_whomever_they_are_written(shelf: Shelf, tmp_path: Path) -> None:
    await shelf.send(20)
    await shelf.run()
    shelf.clock.advance(timedelta(days=1))
    other = Files(tmp_path / "other")
    await shelf.run(shelf.archiver(store=other))
    assert {name: await other.get(name) for name in await shelf.names()} == await shelf.objects()


async def test_a_file_is_of_a_limited_size(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acme.bus.archiving.BYTES", 3 * 40_000)
    for _ in range(2):
        await shelf.send(0, *[bytes(40_000) for _ in range(5)])
    made = await shelf.run()
    assert [(each.start, each.count) for each in made] == [(0, 3), (3, 3), (6, 3), (9, 1)]
    assert await archived(shelf) == list(range(10))


async def test_what_cannot_be_decoded_is_archived_as_it_is_and_is_not_sealed(shelf: Shelf) -> None:
    heard: list[str] = []

    async def noting(events: Sequence[Event[Any]]) -> Sequence[Any]:
        heard.extend(event.message.id for event in events)
        return await seal(events)

    await shelf.send(1, b"\0\0\0\0\1future", None, ProjectCreated(project_id="prj_1"), b"x")
    await shelf.send(5)
    await shelf.run(shelf.archiver(seal=noting))
    found = await shelf.read()
    assert [each.raw is None for each in found] == [True, False, True, False, False, *[True] * 5]
    assert heard == [each.message.id for each in found if each.message is not None]
    assert len(heard) == 6


@pytest.mark.parametrize("where", ["before", "within", "after"])
@pytest.mark.parametrize("number", [1, 2, 3, 4])
async def test_whoever_comes_after_one_that_was_killed_makes_the_same_files(
    shelf: Shelf, url: str, tmp_path: Path, where: str, number: int
) -> None:
    await shelf.send(20)
    expected = Files(tmp_path / "expected")
    await shelf.run(shelf.archiver(store=expected))
    ended = await process(url, tmp_path, where, number)
    assert ended == -9
    assert len(await shelf.names()) == number - (where != "after")
    await shelf.run()
    assert await shelf.objects() == {facts.name: await expected.get(facts.name) async for facts in expected.list()}
    assert await archived(shelf) == list(range(20))


@pytest.mark.drill
async def test_one_that_is_killed_again_and_again_gets_there(shelf: Shelf, url: str, tmp_path: Path) -> None:
    await shelf.send(20)
    for _ in range(4):
        assert await process(url, tmp_path, "after", 1) in (-9, 0)
    assert await process(url, tmp_path, "never", 0) == 0
    assert await archived(shelf) == list(range(20))
    assert len(await shelf.names()) == 4


async def process(url: str, folder: Path, where: str, number: int) -> int:
    """The exit status of a process that archives."""
    command = [sys.executable, "-m", "tests.archive_process", url, str(folder), where, str(number)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (0, -9), done.stderr
    return done.returncode


async def test_two_at_once_make_one_archive(shelf: Shelf) -> None:
    await shelf.send(95)
    shelf.clock.advance(timedelta(seconds=301))
    await asyncio.gather(*(shelf.run() for _ in range(3)))
    assert await archived(shelf) == list(range(95))
    assert len(await shelf.names()) == 20


async def test_what_an_early_file_left_out_is_in_the_next_one(shelf: Shelf) -> None:
    """One closes early; another, which has not seen it, has more of the same file in its hands."""
    slow = shelf.archiver()
    await slow.step(Ends(0, 0))  # it has looked, and found no manifest
    await shelf.send(4)
    shelf.clock.advance(timedelta(seconds=301))
    assert [(each.start, each.next) for each in await shelf.run()] == [(0, 4)]
    await shelf.send(6)
    assert [(each.start, each.next) for each in await shelf.run(slow)] == [(0, 4), (4, 10)]
    assert await archived(shelf) == list(range(10))


async def test_a_file_that_is_longer_than_ours_is_taken_over(shelf: Shelf) -> None:
    await shelf.send(10)
    slow = shelf.archiver()
    await slow.step(Ends(0, 0))
    assert await shelf.run()
    shelf.clock.advance(timedelta(seconds=301))
    manifest = await slow.step(Ends(0, 6))  # an older answer of the bus
    assert manifest is not None
    assert (manifest.next, slow.position) == (10, 10)


async def test_a_file_that_holds_something_else_stops_the_partition(shelf: Shelf) -> None:
    await shelf.send(10)

    async def forging(events: Sequence[Event[Any]]) -> Sequence[Any]:
        made = await seal(events)
        made[4].action = "tests.forged"
        return made

    await shelf.run(shelf.archiver(seal=forging))
    await shelf.store.delete(names(0)[1])
    before = await shelf.objects()
    for _ in range(2):
        with pytest.raises(Astray, match="its record at offset 4 is not what the bus has"):
            await shelf.run()
    assert await shelf.objects() == before


async def test_a_manifest_that_does_not_fit_stops_the_partition(shelf: Shelf) -> None:
    await shelf.send(20)
    archiver = shelf.archiver()
    await archiver.step(Ends(0, 0))
    await shelf.run()
    second = await shelf.store.get(names(10)[1])
    await shelf.store.put(names(0)[1], second)
    with pytest.raises(Astray, match="does not say what is in the file"):
        await shelf.run(archiver)
    await shelf.store.put(names(10)[1], b"{}")
    with pytest.raises(Astray, match="is no manifest"):
        await shelf.run()


async def test_personal_data_whose_key_was_destroyed_meanwhile_is_no_difference(shelf: Shelf) -> None:
    async def erased(events: Sequence[Event[Any]]) -> Sequence[Any]:
        made = await seal(events)
        for each in made:
            each.address = ""
        return made

    await shelf.send(10)
    await shelf.run()
    kept = await shelf.objects()
    await shelf.store.delete(names(0)[1])
    await shelf.run(shelf.archiver(seal=erased))
    assert await shelf.objects() == kept


async def test_what_the_bus_dropped_before_it_was_archived_is_a_gap_that_is_told(shelf: Shelf) -> None:
    await shelf.send(8)
    shelf.clock.advance(timedelta(seconds=RETENTION + 1))
    await shelf.send(14)
    await retention.sweep(cast(Log, shelf.bus)._link, shelf.clock)
    assert await shelf.ends() == Ends(8, 22)
    archiver = shelf.archiver()
    made = await shelf.run(archiver)
    assert [(each.start, each.next, each.count) for each in made] == [(0, 10, 2), (10, 20, 10)]
    assert [(gap.start, gap.end, gap.reason) for gap in made[0].gaps] == [(0, 8, "lost")]
    assert await archived(shelf) == list(range(8, 20))


async def test_an_archive_goes_on_where_everything_was_dropped(shelf: Shelf) -> None:
    await shelf.send(8)
    shelf.clock.advance(timedelta(seconds=RETENTION + 1))
    await retention.sweep(cast(Log, shelf.bus)._link, shelf.clock)
    archiver = shelf.archiver()
    made = await shelf.run(archiver)
    assert [(each.start, each.next, each.count) for each in made] == [(0, 8, 0)]
    assert [(gap.start, gap.end, gap.reason) for gap in made[0].gaps] == [(0, 8, "lost")]
    await shelf.send(2)
    await shelf.run(archiver)
    assert await archived(shelf) == [8, 9]


async def test_a_file_whose_records_the_bus_has_no_more_is_taken_over_and_says_so(shelf: Shelf) -> None:
    await shelf.send(10)
    await shelf.run()
    await shelf.store.delete(names(0)[1])
    shelf.clock.advance(timedelta(seconds=RETENTION + 1))
    await shelf.send(1)
    await retention.sweep(cast(Log, shelf.bus)._link, shelf.clock)
    shelf.clock.advance(timedelta(seconds=301))
    await shelf.run()
    assert read_manifest(await shelf.store.get(names(0)[1])).unproven == 10
    assert await archived(shelf) == list(range(11))


async def test_a_bus_that_has_less_than_the_archive_stops_the_partition(shelf: Shelf) -> None:
    await shelf.send(10)
    archiver = shelf.archiver()
    await shelf.run(archiver)
    for each in (archiver, shelf.archiver()):
        with pytest.raises(Astray, match="10 offsets are archived, and the bus has 3"):
            await each.step(Ends(0, 3))


async def test_what_fails_is_tried_again_from_the_same_place(shelf: Shelf) -> None:
    async def away(events: Sequence[Event[Any]]) -> Sequence[Any]:
        raise Unavailable("the database is away")

    async def short(events: Sequence[Event[Any]]) -> Sequence[Any]:
        return []

    await shelf.send(10)
    with pytest.raises(Unavailable):
        await shelf.run(shelf.archiver(seal=away))
    with pytest.raises(TypeError, match="one of it for each"):
        await shelf.run(shelf.archiver(seal=short))
    assert await shelf.names() == []
    await shelf.run()
    assert await archived(shelf) == list(range(10))


async def test_objects_are_locked_for_as_long_as_the_setting_says(shelf: Shelf) -> None:
    noted = []

    class Noting(Files):
        async def create(self, name: str, content: bytes, *, locked_until: Any = None) -> None:
            noted.append(locked_until)
            await super().create(name, content)

    shelf.rules = Rules(events=10, idle=300.0, lock=86_400.0)
    await shelf.send(10)
    before = shelf.clock.now()
    await shelf.run(shelf.archiver(store=Noting(Path(str(shelf.store._folder)))))  # type: ignore[attr-defined]  # it is a folder
    assert len(noted) == 2
    assert all(before + timedelta(days=1) <= each <= shelf.clock.now() + timedelta(days=1) for each in noted)
