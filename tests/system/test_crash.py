"""Kill -9 under a write load: every acknowledged write is there once, none twice.

Clients do what the README asks of them: one Idempotency-Key a write, and the same request again until it is answered. The
ledger holds what was acknowledged, and at the end the platform has exactly that. `make test-drills` kills 4 times, and twice
where a mail is due, `make soak` 10 times, and 4: where a kill meets the platform is chance, in every run another.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest

from acme.drivers.clock import MovableClock
from tests.soaking import soaking
from tests.system.running import PASSWORD, Platform, wait_for

KILLS, LONG = 4, 10
"""Times; LONG in a soak."""
WRITERS = 8
AGAIN = {409, 500, 502, 503, 504}
"""In flight elsewhere, or not now."""


class Ledger:
    """What clients were told."""

    def __init__(self) -> None:
        self.acknowledged: dict[str, str] = {}
        """Name of a project → the id it was acknowledged with."""
        self.retries: Counter[str] = Counter()
        self.changed = asyncio.Event()

    def acknowledge(self, name: str, project: str) -> None:
        self.acknowledged[name] = project
        self.changed.set()

    async def grow(self, by: int, limit: float) -> None:
        """Returns when so many more writes were acknowledged."""
        target = len(self.acknowledged) + by
        async with asyncio.timeout(limit):
            while len(self.acknowledged) < target:
                self.changed.clear()
                await self.changed.wait()


class Writer:
    """A client that makes one project after another until it is told to stop."""

    def __init__(self, name: str, one: Platform, token: str, ledger: Ledger, stop: asyncio.Event) -> None:
        self.name, self.one, self.token, self.ledger, self.stop = name, one, token, ledger, stop

    async def run(self, client: aiohttp.ClientSession) -> None:
        for number in itertools.count():
            if self.stop.is_set():
                return
            await self.write(client, f"{self.name} {number}")

    async def write(self, client: aiohttp.ClientSession, name: str) -> None:
        headers = {"Authorization": f"Bearer {self.token}", "Idempotency-Key": name.replace(" ", "-")}
        for attempt in itertools.count():
            try:
                async with client.post(f"{self.one.api}/v1/projects", json={"name": name}, headers=headers) as reply:
                    if reply.status == 201:
                        self.ledger.acknowledge(name, (await reply.json())["id"])
                        return
                    body = await reply.text()
                    assert reply.status in AGAIN, body
                    assert reply.status != 500, body
            except (aiohttp.ClientError, TimeoutError):
                pass  # killed: nobody can tell whether it was done
            self.ledger.retries[name] += 1
            await asyncio.sleep(0.02 * random.uniform(0.5, 1.0) * min(attempt + 1, 5))


async def all_projects(one: Platform, token: str) -> list[tuple[str, str]]:
    """(name, id) of every project the caller has, as the platform lists them."""
    found: list[tuple[str, str]] = []
    page = ""
    while True:
        reply = await asyncio.to_thread(one.call, "GET", f"/v1/projects?page_size=500&page_token={page}", token=token)
        assert reply.status == 200, reply.body
        found += [(project["name"], project["id"]) for project in reply.json["projects"]]
        page = reply.json["next_page_token"]
        if not page:
            return found


@pytest.mark.drill
@pytest.mark.soak
@pytest.mark.parametrize(
    "kill", [Platform.kill, Platform.kill_everything], ids=["the gateway's process", "the whole process group"]
)
async def test_a_write_that_was_acknowledged_survives_kill_9_and_is_there_once(
    kill: Callable[[Platform], None], tmp_path: Path, measured: Callable[[str, object], None]
) -> None:
    one = Platform(tmp_path / "platform", environ={"ACME_LOG__LEVEL": "warning"})
    await asyncio.to_thread(one.start)
    port = one.api.rpartition(":")[2]
    try:
        person = await asyncio.to_thread(one.join, "ledger@example.com")
        ledger, stop = Ledger(), asyncio.Event()
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as client:
            writers = [Writer(f"Writer {number}", one, person.token, ledger, stop) for number in range(WRITERS)]
            async with asyncio.timeout(240), asyncio.TaskGroup() as group:
                for writer in writers:
                    group.create_task(writer.run(client))
                for _ in range(LONG if soaking() else KILLS):
                    await ledger.grow(by=random.randint(30, 200), limit=60)
                    await asyncio.to_thread(kill, one)
                    await asyncio.to_thread(one.start, "--port", port)
                await ledger.grow(by=10, limit=60)
                stop.set()
        kept = await all_projects(one, person.token)
        assert [name for name, times in Counter(name for name, _ in kept).items() if times > 1] == []
        assert dict(kept) == ledger.acknowledged
        measured("acknowledged writes", len(ledger.acknowledged))
        measured("writes that were retried", len(ledger.retries))
        assert ledger.retries, "no kill met a write: nothing was tested"
        assert await asyncio.to_thread(one.stop) == 0
    finally:
        one.close()
    assert one.database_processes() == []


@pytest.mark.drill
@pytest.mark.soak
def test_a_mail_that_was_promised_arrives_once_although_the_process_is_killed_at_once(tmp_path: Path) -> None:
    clock = MovableClock(tmp_path / "clock")
    one = Platform(tmp_path / "platform", environ={"ACME_CLOCK__URL": f"movable:{tmp_path / 'clock'}"})
    addresses = [f"mail{number}@example.com" for number in range(4 if soaking() else 2)]
    try:
        one.start()
        for address in addresses:
            account = {"email": address, "password": PASSWORD, "display_name": "Mail"}
            assert one.call("POST", "/v1/users", account).status == 202
            one.kill()
            one.start()
        clock.advance(timedelta(minutes=1))  # whoever was killed while sending held the mail for 30 s
        wait_for("all mails", lambda: len(one.mailbox.list()) >= len(addresses), limit=20)
        assert one.stop() == 0
        assert sorted(mail["to"] for mail in one.mails()) == addresses
    finally:
        one.close()
        clock.close()
