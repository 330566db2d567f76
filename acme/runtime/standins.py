"""Who accepts connections while a worker is not there.

Workers share a port, and a connection that the kernel has given to one waits in the queue of its socket, whether or not the
process lives. So as soon as one has ended, another accepts from its sockets as well, until it is back. One that is told to
end by itself (SIGTERM) accepts no more while it answers what it has begun, which may take its whole grace: it says so before
(`leaving`), and is stood in for from then on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from acme.gateway.listening import Doors
from acme.runtime import control
from acme.runtime.children import Child
from acme.runtime.edge import Edge
from acme.runtime.runfolder import RunFolder
from acme.tasks import Tasks
from acme.telemetry import logger

log: Final = logger(__name__)

AGAIN: Final = 0.2
"""Seconds until somebody else is asked where nobody could."""


class StandIns:
    """Those of one platform. Its processes have numbers, from 1, in their order."""

    def __init__(self, children: Sequence[Child], folder: RunFolder, tasks: Tasks) -> None:
        self._children, self._folder, self._tasks = tuple(children), folder, tasks
        self._for: dict[int, tuple[Child, int]] = {}
        """Number of a process that is not there → who stands in for it, and which process of that name that is."""
        self._settling = asyncio.Lock()
        self._stopped = False

    def changed(self, child: Child) -> None:
        """One has ended, or is up."""
        if not self._stopped and len(self._children) > 1 and child in self._children:
            self._tasks.spawn("stand-ins", self._settle())

    async def left(self, name: str) -> bool:
        """One will accept no more: returns when another does, or nobody is there."""
        child = next((each for each in self._children if each.name == name and each.state == "up"), None)
        if child is not None and not self._stopped:
            child.state = "leaving"
            await self._settle()
        return child is not None

    def stop(self) -> None:
        """All are about to end, in order."""
        self._stopped = True

    async def _settle(self) -> None:
        async with self._settling:
            while not self._stopped:
                done = [await self._settled(number, child) for number, child in enumerate(self._children, 1)]
                if all(done):
                    return
                await asyncio.sleep(AGAIN)

    async def _settled(self, number: int, child: Child) -> bool:
        """Whether somebody accepts for this one, itself or another."""
        now = self._for.get(number)
        if now is not None and (now[1] != now[0].pid or now[0].state != "up"):
            del self._for[number]  # who stood in has ended as well, or is about to
            now = None
        if child.state == "up":
            if now is not None and await self._asked(now[0], "step_back", number):
                del self._for[number]
            return True
        if now is not None or child.told is None:  # in its first start nobody has heard of it
            return True
        ring = (*self._children[number:], *self._children[: number - 1])
        for other in ring:
            if other.state == "up" and await self._asked(other, "stand_in", number):
                self._for[number] = other, other.pid
                log.info("a process stands in", process=other.name, absent=child.name)
                return True
        return all(other.state != "up" for other in ring)

    async def _asked(self, child: Child, command: str, number: int) -> bool:
        try:
            await control.ask(self._folder, f"control-{child.name}.sock", command, {"number": number})
        except control.Unknown:
            return True  # it shares no ports
        except control.Silent as error:
            log.warning("a process does not answer", process=child.name, error=str(error))
            return False
        return True


async def leaving(folder: RunFolder, name: str) -> None:
    """A process says that it will accept no more. Where nobody looks after it, or no longer, nobody has to know."""
    try:
        await control.ask(folder, "control.sock", "leaving", {"name": name})
    except control.Silent as error:
        log.info("nobody stands in", why=str(error))


def standing_in(doors: Doors, edge: Edge) -> dict[str, Callable[[int], Any]]:
    """The commands by which a process is asked to."""

    async def stand_in(number: int) -> bool:
        await doors.stand_in(number, edge.of_another(number))
        return True

    def step_back(number: int) -> bool:
        doors.step_back(number)
        return True

    return {"stand_in": stand_in, "step_back": step_back} if edge.others else {}
