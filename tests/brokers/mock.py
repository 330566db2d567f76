"""librdkafka's mock cluster: Kafka's protocol with idempotent producers and consumer groups, over logs in memory.

What it does not have: making topics, describing groups and settings, and commits from outside of a group that once had
members. `make` therefore makes topics beside the protocol.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka.consumer.group_coordinator import GroupCoordinator

from acme.drivers.processes import die_with_parent

PRODUCE, OFFSET_COMMIT, HEARTBEAT = 0, 8, 12
"""Numbers of requests, for `fail`."""
OUT_OF_ORDER_SEQUENCE, UNKNOWN_MEMBER, REBALANCING, TOO_LARGE = 45, 25, 27, 10
"""Numbers of errors."""


def let_leaders_come_last(patch: pytest.MonkeyPatch) -> None:
    """Makes the leader of a group wait a moment before it gives out partitions.

    The mock cluster takes a group for complete when its leader has spoken, and refuses the members who speak after it. They
    join again; the group would take several rounds to come to rest, of a session each.
    """
    perform: Callable[..., Awaitable[Any]] = GroupCoordinator._perform_assignment

    async def later(self: GroupCoordinator, response: Any) -> Any:
        await asyncio.sleep(0.05)  # the time is what this is about
        return await perform(self, response)

    patch.setattr(GroupCoordinator, "_perform_assignment", later)


class MockCluster:
    """One broker in a process of its own."""

    def __init__(self) -> None:
        """Returns when it listens."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.brokers.mock_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=Path(__file__).parents[2],
            preexec_fn=die_with_parent(signal.SIGKILL),
        )
        assert self._process.stdout is not None
        self.servers = self._process.stdout.readline().strip()
        assert self.servers, "the mock cluster did not start"

    @property
    def url(self) -> str:
        """For `open_bus`."""
        return f"kafka://{self.servers}"

    def make(self, topic: str, partitions: int) -> None:
        """Makes a topic; one that is there is left as it is."""
        self._tell("topic", topic, str(partitions))

    def fail(self, request: int, *errors: int) -> None:
        """The next requests of a kind get these errors, one each; 0 is none."""
        assert self._tell("errors", str(request), *map(str, errors)) == 0

    def go_down(self) -> None:
        """The broker hangs up, and takes no connections."""
        assert self._tell("down") == 0

    def come_up(self) -> None:
        """It is back, with all it had."""
        assert self._tell("up") == 0

    def forget(self, topic: str, partition: int, before: int) -> None:
        """Drops the records of a partition before an offset, as retention does."""
        assert self._tell("delete", topic, str(partition), str(before)) == 0

    def stop(self) -> None:
        """Ends it."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def _tell(self, *words: str) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(" ".join(words) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())
