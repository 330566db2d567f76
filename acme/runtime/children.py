"""Processes that are started, watched, started again, and ended in order.

One that ends is started again, and so is one that hangs: it is asked all the time whether it is there, and killed when it
owes `CHECKS` answers in a row. Whoever is late once or twice because the machine is busy starts at none again.
"""

from __future__ import annotations

import asyncio
import random
import signal
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from acme.drivers import processes
from acme.runtime.databases import CannotStart
from acme.runtime.report import Report
from acme.tasks import Tasks
from acme.telemetry import logger

log: Final = logger(__name__)

START_LIMIT: Final = 120.0
"""Seconds for a process to be ready; migrations of a large database may take most of it."""
FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 10.0
"""Seconds before the second start, and before any at most. A process that ran for this long begins at the first again."""
CHECKS: Final = 6
"""Answers in a row that a process may owe."""
_LINE: Final = 1 << 16
"""Bytes after which a line of a log is cut."""


@dataclass(eq=False, slots=True)
class Child:
    """One process, and how it stands."""

    name: str
    command: tuple[str, ...]
    """Writes a `Report` as one line of JSON to its standard output when it is ready."""
    environ: Mapping[str, str]
    descriptors: tuple[int, ...] = ()
    """Open files that it inherits."""
    address: str = ""
    state: str = "starting"
    """"starting", "up", "leaving" (by itself, and has said so), "waiting" to be started again, "stopping" or "ended"."""
    restarts: int = 0
    told: Report | None = None
    process: Process | None = None
    task: asyncio.Task[None] | None = None
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the first start is over, well or not."""
    last: deque[bytes] = field(default_factory=lambda: deque(maxlen=20))
    """The last lines it logged."""

    @property
    def report(self) -> Report:
        """What it told when it was ready."""
        if self.told is None:
            raise RuntimeError(f"{self.name} was never ready")
        return self.told

    @property
    def pid(self) -> int:
        """0 while it does not run."""
        return self.process.pid if self.process is not None and self.process.returncode is None else 0


class Children:
    """Those who look after some."""

    def __init__(
        self,
        tasks: Tasks,
        write: Callable[[str, bytes], None],
        answers: Callable[[Child, float], Awaitable[bool]] | None = None,
        hang_limit: float = 0.0,
        changed: Callable[[Child], None] = lambda child: None,
    ) -> None:
        """`write` gets each line that a child logs, after the child's name. `answers` asks a child that is up and says
        whether it answered within so many seconds; one that has not for `hang_limit` seconds (0: for ever) is killed.
        `changed` hears of each that has ended, or is up."""
        self._tasks, self._write, self._changed = tasks, write, changed
        self._answers, self._pause = answers, hang_limit / CHECKS

    async def start(self, children: Iterable[Child]) -> None:
        """Starts them all at once, and returns when all are ready.

        Raises:
            CannotStart: one ended before; with what it said last.
        """
        children = tuple(children)
        for child in children:
            child.task = self._tasks.spawn(child.name, self._keep(child))
        try:
            async with asyncio.timeout(START_LIMIT):
                for child in children:
                    await child.settled.wait()
                    if child.told is None:
                        raise CannotStart(_last_words(child))
        except TimeoutError:
            late = ", ".join(child.name for child in children if child.told is None)
            raise CannotStart(f"not ready after {START_LIMIT:g} s: {late}") from None

    async def stop(self, children: Iterable[Child], limit: float) -> None:
        """Asks them all to end, and ends those that have not after `limit` seconds."""
        children = tuple(children)
        for child in children:
            child.state = "stopping"
            if child.pid:
                child.process.send_signal(signal.SIGTERM)  # type: ignore[union-attr]  # a pid has a process
        until = time.monotonic() + limit
        for child in children:
            if child.process is None:
                continue
            try:
                async with asyncio.timeout_at(asyncio.get_running_loop().time() + max(0.0, until - time.monotonic())):
                    await child.process.wait()
            except TimeoutError:
                log.warning("a process did not end in time", process=child.name, seconds=limit)
                child.process.kill()
                await child.process.wait()
        for child in children:
            if child.task is not None:
                child.task.cancel()  # it may wait to start the process again
            child.state = "ended"

    async def _keep(self, child: Child) -> None:
        pause = FIRST_PAUSE
        while True:
            began = time.monotonic()
            try:
                code = await self._live(child)
            finally:
                child.settled.set()
            if child.state == "stopping" or child.told is None:
                return
            if time.monotonic() - began > LONGEST_PAUSE:
                pause = FIRST_PAUSE
            wait = pause * random.uniform(0.5, 1.0)
            log.error("process ended", process=child.name, status=code, again_in=round(wait, 2))
            child.state = "waiting"
            self._changed(child)
            await asyncio.sleep(wait)
            child.state, child.restarts = "starting", child.restarts + 1
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _live(self, child: Child) -> int:
        """One process, from its start to its end."""
        # A session of its own: Ctrl-C is for us, who tell the children in order.
        process = child.process = await asyncio.create_subprocess_exec(
            *child.command,
            env=child.environ,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            pass_fds=child.descriptors,
            start_new_session=True,
            preexec_fn=processes.die_with_parent(signal.SIGKILL),
        )
        try:
            reading = self._tasks.spawn(f"{child.name}.log", self._relay(child, process))
            watching = self._tasks.spawn(f"{child.name}.watch", self._watch(child, process))
            try:
                await self._listen(child, process)
                code = await process.wait()
                await reading
            finally:
                watching.cancel()
                reading.cancel()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return code

    async def _watch(self, child: Child, process: Process) -> None:
        """Kills it when it hangs. What comes then is as if it had ended by itself."""
        owed = 0
        while self._answers is not None and self._pause and owed < CHECKS:
            began = time.monotonic()
            well = child.state != "up" or await self._answers(child, self._pause)
            owed = 0 if well else owed + 1
            await asyncio.sleep(max(0.0, self._pause - (time.monotonic() - began)))
        if owed and child.state == "up":
            log.error("process hangs", process=child.name, pid=process.pid, seconds=round(self._pause * CHECKS, 1))
            process.kill()

    async def _listen(self, child: Child, process: Process) -> None:
        """Its standard output: the report, and then nothing that matters."""
        output = process.stdout
        if output is None:
            return
        try:
            async with asyncio.timeout(START_LIMIT):
                line = await output.readline()
        except TimeoutError:
            log.error("process is not ready", process=child.name, pid=process.pid, seconds=START_LIMIT)
            process.kill()
            return
        if line.endswith(b"\n"):
            child.told = msgspec.json.decode(line, type=Report)
            if child.state == "starting":
                child.state = "up"
                self._changed(child)
            child.settled.set()
        while await output.read(_LINE):
            pass

    async def _relay(self, child: Child, process: Process) -> None:
        """Its standard error, line by line."""
        rest = b""
        while process.stderr is not None and (chunk := await process.stderr.read(_LINE)):
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > _LINE:
                lines, rest = [*lines, rest], b""
            for line in lines:
                child.last.append(line)
                self._write(child.name, line)
        if rest:
            child.last.append(rest)
            self._write(child.name, rest)


def _last_words(child: Child) -> str:
    """Why it did not start: what the command says when it fails, or else the last it logged."""
    lines = [line.decode(errors="replace") for line in child.last]
    starts = [number for number, line in enumerate(lines) if line.startswith("acme: ")]
    said = [line.removeprefix("acme: ") for line in lines[starts[-1] :]] if starts else lines[-5:]
    return "\n".join([f"{child.name} did not start", *(line.strip() for line in said)])
