"""Settings change under load, again and again, and no request fails for it."""

from __future__ import annotations

import asyncio
import itertools
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from acme.runtime.reloading import everywhere
from tests.system.running import Platform, call, platform
from tests.system.test_rolling import Load
from tests.unit.acme.dispatch.town import until

RELOADS: Final = 30
SETTINGS: Final = (
    '[gateway]\ntimeout = 20.0\ndocs = false\n[gateway.cors]\norigins = ["https://a.example"]\n',
    '[gateway]\ntimeout = 8.0\n[gateway.routes]\n"acme.projects.v1.Projects/GetProject" = { cache = 5, cost = 2 }\n',
    '[gateway]\nkeepalive = 60.0\nwrite_timeout = 20.0\nproxies = ["10.0.0.0/8"]\n[log]\nlevel = "warning"\n',
)
WRONG: Final = '[gateway]\ntimeout = 1.0\n[gateway.routes]\n"no.Such/Method" = { cost = 2 }\n'


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Platform]:
    with platform(tmp_path, "--port", "0") as one:
        yield one


async def test_settings_change_under_load_and_no_request_fails(one: Platform) -> None:
    person = one.join("reload@example.com")
    load = Load(one.api, person, one.project(person, "Reloaded")["id"])
    stop = asyncio.Event()
    refused = 0
    async with asyncio.TaskGroup() as group:
        loading = group.create_task(load.run(stop))
        for number, text in zip(range(RELOADS), itertools.cycle((*SETTINGS, WRONG))):
            (one.folder / "acme.toml").write_text(text)
            if number % 5 == 4:
                one.running.send_signal(signal.SIGHUP)
            found, silent = await everywhere(one.data, apply=True)
            assert silent == []
            refused += sum(bool(answer.outlook.problems) for answer in found)
            before = load.outcomes.total()
            await until(lambda: load.outcomes.total() >= before + 10 or loading.done(), 30)  # noqa: B023 - awaited
        stop.set()
    assert refused == RELOADS // 4
    assert set(load.outcomes) == {"ok"}, load.outcomes
    assert load.outcomes.total() >= 10 * RELOADS
    (one.folder / "acme.toml").write_text(SETTINGS[0])
    found, _ = await everywhere(one.data, apply=True)
    assert [answer.outlook.problems for answer in found] == [()]
    assert call(one.api, "GET", "/docs").status == 404


@pytest.mark.drill
async def test_a_connection_stands_through_every_change(one: Platform) -> None:
    address = one.api.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(address[0], int(address[1]))
    try:
        for text in SETTINGS:
            (one.folder / "acme.toml").write_text(text)
            await everywhere(one.data, apply=True)
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            async with asyncio.timeout(30):
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = int(head.partition("content-length: ")[2].split("\r\n")[0])
                await reader.readexactly(length)
            assert head.startswith("http/1.1 200 ")
            assert "connection: close" not in head
    finally:
        writer.close()
