"""Processes are started, watched, started again and ended in order. The children are small programs of their own."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from acme.runtime import children
from acme.runtime.children import CHECKS, Child, Children
from acme.runtime.databases import CannotStart
from acme.runtime.report import Report
from acme.tasks import Tasks
from acme.telemetry import Metrics
from tests.unit.acme.dispatch.town import until

LIMIT = 10.0
REPORT = msgspec.json.encode(
    Report("1", 1, 0.1, 0.1, "none", True, "", "", "", "", "", "", 0, "", 0, ())
).decode()  # fmt: skip


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    async with Tasks("test", Metrics()) as tasks:
        yield tasks


class Log:
    """What children log."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self._changed = asyncio.Event()

    def write(self, name: str, line: bytes) -> None:
        self.lines.append((name, line.decode()))
        self._changed.set()

    async def until(self, line: tuple[str, str], times: int = 1) -> None:
        async with asyncio.timeout(LIMIT):
            while self.lines.count(line) < times:
                self._changed.clear()
                await self._changed.wait()


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def several(tasks: Tasks, log: Log) -> Children:
    return Children(tasks, log.write)


def child(name: str, code: str) -> Child:
    """A program; `ready()` says that it is, `say` logs, and by default it waits to be ended."""
    head = f"""
        import os, signal, sys, time
        def ready(): print({REPORT!r}, flush=True)
        def say(text): print(text, file=sys.stderr, flush=True)
    """
    return Child(name, (sys.executable, "-c", textwrap.dedent(head) + textwrap.dedent(code)), dict(os.environ))


PATIENT = "ready(); say('here'); signal.pause()"


async def test_all_are_started_at_once_and_waited_for(several: Children, log: Log) -> None:
    both = [child("a", PATIENT), child("b", PATIENT)]
    await several.start(both)
    assert [one.state for one in both] == ["up", "up"]
    assert all(one.pid for one in both)
    assert both[0].report.version == "1"
    await log.until(("a", "here"))
    await log.until(("b", "here"))
    await several.stop(both, LIMIT)
    assert [(one.state, one.pid) for one in both] == [("ended", 0), ("ended", 0)]


async def test_one_that_ends_before_it_is_ready_ends_the_start_with_its_last_words(several: Children) -> None:
    doomed = child("a", "say('noise'); say('acme: no luck'); say('  because'); sys.exit(1)")
    with pytest.raises(CannotStart) as caught:
        await several.start([doomed])
    assert str(caught.value).splitlines() == ["a did not start", "no luck", "because"]


async def test_one_that_ends_is_started_again(several: Children, log: Log) -> None:
    one = child("a", PATIENT)
    await several.start([one])
    first = one.pid
    for number in (1, 2):
        await log.until(("a", "here"), times=number)  # killed between the report and this line, it would miss one
        os.kill(one.pid, signal.SIGKILL)
    await log.until(("a", "here"), times=3)
    assert one.restarts == 2
    assert one.pid not in (0, first)
    await several.stop([one], LIMIT)


async def test_one_that_does_not_come_back_is_tried_again_and_not_given_up(
    several: Children, log: Log, tmp_path_factory: pytest.TempPathFactory
) -> None:
    mark = tmp_path_factory.mktemp("mark") / "mark"
    code = f"""
        mark = {str(mark)!r}
        say('start')
        if not os.path.exists(mark):
            open(mark, 'w').close()
            ready()
        sys.exit(3)
    """
    one = child("a", code)
    await several.start([one])
    await log.until(("a", "start"), times=4)
    await several.stop([one], LIMIT)
    assert one.state == "ended"


async def test_one_that_does_not_end_is_killed(several: Children, log: Log) -> None:
    stubborn = child("a", "signal.signal(signal.SIGTERM, signal.SIG_IGN); " + PATIENT)
    await several.start([stubborn])
    await several.stop([stubborn], 0.2)
    assert stubborn.process is not None
    assert stubborn.process.returncode == -signal.SIGKILL


async def test_one_that_waits_to_be_started_again_is_not(several: Children, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "FIRST_PAUSE", 60.0)
    one = child("a", PATIENT)
    await several.start([one])
    assert one.process is not None
    os.kill(one.pid, signal.SIGKILL)
    await one.process.wait()
    await several.stop([one], LIMIT)
    assert (one.state, one.restarts) == ("ended", 0)


async def test_one_that_hangs_while_it_is_started_again_is_killed(
    several: Children, log: Log, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    code = f"""
        mark = {str(tmp_path / "mark")!r}
        say('start')
        if not os.path.exists(mark):
            open(mark, 'w').close()
            ready()
            sys.exit(3)
        signal.pause()
    """
    one = child("a", code)
    await several.start([one])
    monkeypatch.setattr(children, "START_LIMIT", 0.2)
    await log.until(("a", "start"), times=4)
    assert one.restarts >= 2
    await several.stop([one], LIMIT)


class Answers:
    """Whether children answer, as the test says."""

    def __init__(self) -> None:
        self.asked = 0
        self.missed = 0
        self.answering: Callable[[int], bool] = lambda pid: True

    async def __call__(self, child: Child, limit: float) -> bool:
        self.asked += 1
        well = self.answering(child.pid)
        self.missed = 0 if well else self.missed + 1
        return well


async def test_one_that_hangs_is_killed_and_started_again(tasks: Tasks, log: Log) -> None:
    answers = Answers()
    watching, one = Children(tasks, log.write, answers, hang_limit=0.3), child("a", PATIENT)
    await watching.start([one])
    await log.until(("a", "here"))
    first, hung = one.process, one.pid
    answers.answering = lambda pid: pid != hung
    await log.until(("a", "here"), times=2)
    assert first is not None
    assert (first.returncode, one.restarts) == (-signal.SIGKILL, 1)
    assert one.pid not in (0, hung)
    await watching.stop([one], LIMIT)


async def test_one_that_is_late_now_and_then_is_left_alone(tasks: Tasks, log: Log) -> None:
    answers = Answers()
    watching, one = Children(tasks, log.write, answers, hang_limit=0.06), child("a", PATIENT)
    answers.answering = lambda pid: answers.asked % CHECKS == 0  # it owes one answer less than it may
    await watching.start([one])
    async with asyncio.timeout(LIMIT):
        while answers.asked < 4 * CHECKS:  # noqa: ASYNC110 - the children's own clock decides
            await asyncio.sleep(0.005)
    assert (one.restarts, one.state) == (0, "up")
    await watching.stop([one], LIMIT)


async def test_nobody_is_asked_who_is_not_up(tasks: Tasks, log: Log) -> None:
    answers = Answers()
    watching, one = Children(tasks, log.write, answers, hang_limit=0.06), child("a", "time.sleep(0.3); " + PATIENT)
    answers.answering = lambda pid: one.told is not None
    await watching.start([one])
    assert (one.restarts, answers.missed) == (0, 0)
    await watching.stop([one], LIMIT)


async def test_nobody_outlives_the_one_who_looks_after_them(log: Log) -> None:
    one = child("a", PATIENT)
    async with Tasks("short", Metrics()) as tasks:
        await Children(tasks, log.write).start([one])
    assert one.process is not None
    assert one.process.returncode is not None


async def test_a_line_without_an_end_is_cut_and_the_rest_still_read(several: Children, log: Log) -> None:
    one = child("a", "ready(); sys.stderr.write('x' * 200_000); say(''); say('after'); signal.pause()")
    await several.start([one])
    await log.until(("a", "after"))
    assert max(len(line) for _, line in log.lines) < 150_000
    await several.stop([one], LIMIT)


async def test_who_is_never_ready_has_no_report() -> None:
    with pytest.raises(RuntimeError, match="never ready"):
        _ = child("a", "").report


async def test_who_wants_to_know_hears_of_every_end_and_every_return(tasks: Tasks, log: Log) -> None:
    heard: list[tuple[str, str]] = []
    watching = Children(tasks, log.write, changed=lambda child: heard.append((child.name, child.state)))
    one = child("a", PATIENT)
    await watching.start([one])
    os.kill(one.pid, signal.SIGKILL)
    await until(lambda: heard == [("a", "up"), ("a", "waiting"), ("a", "up")])
    await watching.stop([one], LIMIT)
    assert len(heard) == 3
