"""Who ends is stood in for at once, and by one that lives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from acme.runtime import control
from acme.runtime.children import Child
from acme.runtime.report import Report
from acme.runtime.runfolder import RunFolder
from acme.runtime.standins import StandIns, leaving
from acme.tasks import Tasks
from acme.telemetry import Metrics
from tests.unit.acme.dispatch.town import until

TOLD = Report("1", 1, 0.1, 0.1, "none", True, "", "", "", "", "", "", 0, "", 0, ())


class Workers:
    """Three of them, and what each was asked."""

    def __init__(self, folder: RunFolder, tasks: Tasks, stack: AsyncExitStack) -> None:
        self.tasks = tasks
        self.asked: list[tuple[str, str, int]] = []
        self.all = [Child(f"worker-{number}", (), {}, state="up", told=TOLD) for number in (1, 2, 3)]
        for number, child in enumerate(self.all, 1):
            self.live(child, number)
        self.stand_ins = StandIns(self.all, folder, tasks)
        self._folder, self._stack = folder, stack

    def live(self, child: Child, pid: int) -> None:
        process: Any = SimpleNamespace(pid=pid, returncode=None)
        child.state, child.process = "up", process

    async def open(self, child: Child) -> None:
        def note(command: str, number: int) -> bool:
            self.asked.append((child.name, command, number))
            return True

        commands: dict[str, Callable[..., Any]] = {
            command: partial(note, command) for command in ("stand_in", "step_back")
        }
        await self._stack.enter_async_context(control.serve(self._folder, f"control-{child.name}", commands))

    def change(self, number: int, state: str, pid: int = 0) -> None:
        """What `Children` tell."""
        child = self.all[number - 1]
        if state == "up":
            self.live(child, pid)
        else:
            child.state, child.process = state, None
        self.stand_ins.changed(child)


@pytest.fixture
async def workers(tmp_path: Path) -> AsyncIterator[Workers]:
    async with AsyncExitStack() as stack:
        folder = RunFolder(tmp_path)
        stack.callback(folder.close)
        tasks = await stack.enter_async_context(Tasks("test", Metrics()))
        made = Workers(folder, tasks, stack)
        for child in made.all:
            await made.open(child)
        yield made


async def test_the_next_one_stands_in_until_it_is_back(workers: Workers) -> None:
    workers.change(2, "waiting")
    await until(lambda: workers.asked == [("worker-3", "stand_in", 2)])
    workers.change(2, "up", 22)
    await until(lambda: workers.asked[1:] == [("worker-3", "step_back", 2)])


async def test_who_stands_in_and_ends_is_stood_in_for_with_all_that_it_did(workers: Workers) -> None:
    workers.change(2, "waiting")
    await until(lambda: len(workers.asked) == 1)
    workers.change(3, "waiting")
    await until(lambda: sorted(workers.asked[1:]) == [("worker-1", "stand_in", 2), ("worker-1", "stand_in", 3)])
    workers.change(3, "up", 33)
    await until(lambda: workers.asked[3:] == [("worker-1", "step_back", 3)])


async def test_one_that_was_started_again_meanwhile_does_not_stand_in_any_more(workers: Workers) -> None:
    workers.change(2, "waiting")
    await until(lambda: len(workers.asked) == 1)
    workers.change(3, "up", 33)  # it ended and came back, and nobody was told in between
    await until(lambda: workers.asked[1:] == [("worker-3", "stand_in", 2)])


async def test_who_says_that_it_leaves_is_stood_in_for_before_it_hears_the_answer(workers: Workers) -> None:
    assert await workers.stand_ins.left("worker-2")
    assert workers.asked == [("worker-3", "stand_in", 2)]
    assert workers.all[1].state == "leaving"
    workers.change(2, "waiting")
    workers.change(2, "up", 22)
    await until(lambda: workers.asked[1:] == [("worker-3", "step_back", 2)])


async def test_who_leaves_stands_in_for_nobody_any_more(workers: Workers) -> None:
    await workers.stand_ins.left("worker-2")
    await workers.stand_ins.left("worker-3")
    assert sorted(workers.asked[1:]) == [("worker-1", "stand_in", 2), ("worker-1", "stand_in", 3)]


async def test_the_last_to_leave_is_not_kept(workers: Workers) -> None:
    for number in (1, 2, 3):
        async with asyncio.timeout(10):
            assert await workers.stand_ins.left(f"worker-{number}")


async def test_in_the_end_of_all_nobody_is_asked_by_who_leaves(workers: Workers) -> None:
    workers.stand_ins.stop()
    await workers.stand_ins.left("worker-2")
    assert not await workers.stand_ins.left("somebody else")
    assert workers.asked == []


async def test_a_process_tells_whoever_looks_after_it_and_does_without(tmp_path: Path) -> None:
    folder, told = RunFolder(tmp_path), list[str]()
    try:
        await leaving(folder, "worker-1")  # nobody is there
        async with control.serve(folder, "control", {"leaving": lambda name: told.append(name)}):
            await leaving(folder, "worker-2")
    finally:
        folder.close()
    assert told == ["worker-2"]


async def test_where_nobody_is_left_it_waits_for_the_first(workers: Workers) -> None:
    for child in workers.all[1:]:
        child.state, child.process = "waiting", None
    workers.change(1, "waiting")
    await asyncio.sleep(0)
    workers.change(3, "up", 33)
    await until(lambda: sorted(workers.asked) == [("worker-3", "stand_in", 1), ("worker-3", "stand_in", 2)])


async def test_nobody_is_asked_any_more_once_all_are_to_end(workers: Workers) -> None:
    workers.stand_ins.stop()
    workers.change(2, "waiting")
    assert not workers.tasks._running
    assert workers.asked == []
