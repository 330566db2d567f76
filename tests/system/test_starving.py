"""A service whose database stands still: the others do not notice, its own clients are told at once, and it comes back."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import aiohttp

from tests.system.running import Person, Platform, connect, platform
from tests.waiting import BUSY

SETTINGS = """
[gateway]
timeout = 1.0
[gateway.limits.default]
rate = 6e6
burst = 1_000_000
address_rate = 6e6
address_burst = 1_000_000
[gateway.services."acme.projects.v1.Projects"]
concurrency = 20
queue = 5
wait = 0.05
failures = 20
pause = 0.5
"""
CLIENTS = 40
PAUSE = 4.0
"""Seconds that the last pause of the circuit may have been, after a few that were too short."""


class Watch:
    """What clients see of two services, for as long as it runs."""

    def __init__(self, one: Platform, person: Person, project: str) -> None:
        self._api, self._token, self._project = one.api, person.token, project
        self.others: list[float] = []
        """Seconds of each answer of the other service."""
        self.said: Counter[str] = Counter()
        self.slowest_refusal = 0.0
        """Of those that say that there is no place, or no answer."""
        self._ended = False

    async def run(self) -> None:
        async with aiohttp.ClientSession() as self._client, asyncio.TaskGroup() as group:
            group.create_task(self._other())
            for _ in range(CLIENTS):
                group.create_task(self._own())

    def end(self) -> None:
        self._ended = True

    async def _other(self) -> None:
        while not self._ended:
            started = time.monotonic()
            assert await self._code("/v1/users/me") == "ok"
            self.others.append(time.monotonic() - started)

    async def _own(self) -> None:
        while not self._ended:
            started = time.monotonic()
            code = await self._code(f"/v1/projects/{self._project}")
            self.said[code] += 1
            if code in ("service_busy", "overloaded", "circuit_open"):
                self.slowest_refusal = max(self.slowest_refusal, time.monotonic() - started)
            await asyncio.sleep(0.02)  # the pace of a client

    async def _code(self, path: str) -> str:
        async with self._client.get(self._api + path, headers={"Authorization": f"Bearer {self._token}"}) as reply:
            return "ok" if reply.status == 200 else str((await reply.json(content_type=None))["code"])

    async def until(self, code: str, count: int) -> None:
        """Returns when the service has said so, so many times."""
        while self.said[code] < count:  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0.02)


async def test_a_service_that_stands_still_starves_no_other_and_comes_back(
    tmp_path: Path, measured: Callable[[str, object], None]
) -> None:
    file = tmp_path / "limits.toml"
    file.write_text(SETTINGS)
    with platform(tmp_path / "platform", "-c", str(file)) as one:
        person = await asyncio.to_thread(one.join, "ada@example.com")
        project = (await asyncio.to_thread(one.project, person, "Atlas"))["id"]
        watch = Watch(one, person, project)
        async with asyncio.timeout(120), asyncio.TaskGroup() as group:
            group.create_task(watch.run())
            await watch.until("ok", 100)
            blocker = await connect(one, "projects")
            try:
                await blocker.execute("BEGIN; LOCK TABLE projects IN ACCESS EXCLUSIVE MODE")
                before, calm = len(watch.others), sorted(watch.others)
                await watch.until("circuit_open", 100)
                told = dict(watch.said)
                served = watch.said["ok"]
            finally:
                await blocker.close()
            freed = time.monotonic()
            await watch.until("ok", served + 100)
            recovered = time.monotonic() - freed
            during = sorted(watch.others[before:])
            watch.end()
        measured("ms at the median of the other service before", round(1000 * calm[len(calm) // 2], 1))
        measured("ms at the median of the other service meanwhile", round(1000 * during[len(during) // 2], 1))
        measured("ms at most of the other service meanwhile", round(1000 * during[-1], 1))
        measured("answers of the service that stood still", told)
        measured("s until it served again", round(recovered, 2))
        assert "internal" not in told, [line for line in one.log().splitlines() if "error" in line][:5]
        # Too many calls, too many that wait for a connection to the database, no answer, and no use in asking.
        assert set(told) <= {"ok", "service_busy", "overloaded", "deadline_exceeded", "circuit_open"}
        assert told.get("service_busy", 0) + told.get("overloaded", 0) > 0
        assert told["deadline_exceeded"] >= 20
        assert during[-1] < 1.0 + BUSY
        assert watch.slowest_refusal < 1.0 + BUSY
        assert recovered < PAUSE + BUSY
