"""What operators call."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from acme_users import Settings, commands
from acme_users import plugin as users_plugin
from acme_users.signing import LEAD, SPAN, SigningKeys
from acme_users.store import AuthorityStore, SigningKey

from acme import Pages, Plugin, Resources, TokenProfile
from acme.drivers.clock import MovableClock
from acme.drivers.files import Files
from acme.drivers.memory import open_cache
from acme.telemetry import Metrics
from acme.testing import Server
from acme.work import UnitFactory
from tests.unit.plugins.acme_users.outside import VAULT, units_of_work


@pytest.fixture(scope="module")
def plugins() -> list[Plugin]:
    return [users_plugin]


@dataclass
class Rig:
    units: UnitFactory
    resources: Resources[Any]

    async def rotate(self, *arguments: str) -> int:
        with self.units.outside():
            return await commands.rotate_keys_command(self.resources, arguments)

    async def keys(self) -> tuple[SigningKey, ...]:
        return (await AuthorityStore(self.units.database).keys()).keys


@pytest.fixture
async def rig(postgres: Server, tmp_path: Path) -> AsyncIterator[Rig]:
    clock = MovableClock(tmp_path / "clock")
    async with units_of_work(postgres, clock) as units:
        with units.outside():
            await SigningKeys(AuthorityStore(units.database), clock, VAULT).rotate()
        resources = Resources(
            name="users",
            settings=Settings(),
            database=units.database,
            cache=open_cache("memory:", clock=clock, metrics=Metrics()).space("users"),
            directory=None,  # type: ignore[arg-type]  # a command calls nobody
            clock=clock,
            cipher=VAULT,
            archive=Files(tmp_path),
            pages=Pages(VAULT),
            tokens=TokenProfile("issuer", "audience"),
            region="local",
            public_url="https://acme.test",
        )
        yield Rig(units, resources)
    clock.close()


async def test_a_new_key_is_made_and_told(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    assert await rig.rotate() == 0
    old, new = await rig.keys()
    assert 0 <= (LEAD - (new.not_before - rig.resources.clock.now())).total_seconds() < 5
    assert old.retired_at == new.not_before + SPAN
    said = capsys.readouterr().out
    assert f"Key {new.kid} is published, and signs from {new.not_before:%Y-%m-%d %H:%M:%S} UTC on." in said


async def test_an_operator_says_how_soon(rig: Rig) -> None:
    assert await rig.rotate("--lead", "30") == 0
    assert 25 < ((await rig.keys())[1].not_before - rig.resources.clock.now()).total_seconds() <= 30


async def test_a_second_successor_is_refused(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    assert await rig.rotate() == 0
    assert await rig.rotate() == 1
    assert "acme users rotate-keys: There is a successor" in capsys.readouterr().out
    assert len(await rig.keys()) == 2


async def test_stolen_keys_are_withdrawn(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    [stolen] = await rig.keys()
    assert await rig.rotate() == 0
    assert await rig.rotate("--withdraw") == 0
    [made] = await rig.keys()
    assert made.kid != stolen.kid
    assert f"Key {made.kid} signs from now on." in capsys.readouterr().out


async def test_what_operators_do_is_recorded_with_who_did_it(rig: Rig) -> None:
    await rig.rotate("--withdraw")
    events = await rig.units.database.fetch("SELECT * FROM acme.outbox")
    told = [bytes(value) for row in events for value in row if isinstance(value, bytes)]
    assert any(b"users.signing_keys.withdraw" in each for each in told)


@pytest.mark.parametrize("arguments", [["--what"], ["--lead"], ["--lead", "5"], ["--lead", "soon"], ["key"]], ids=str)
async def test_wrong_arguments_change_nothing(
    rig: Rig, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert await rig.rotate(*arguments) == commands.WRONG
    said = capsys.readouterr()
    assert "acme users rotate-keys" in said.out + said.err
    assert len(await rig.keys()) == 1


async def test_help_is_no_fault(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    assert await rig.rotate("--help") == 0
    assert "--withdraw" in capsys.readouterr().out
