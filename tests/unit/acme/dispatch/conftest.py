"""A stage for every module of these tests, empty at the start of every test; and a town for those that ask for one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from acme.testing.server import Server
from tests.services import Stage, stage
from tests.unit.acme.dispatch.town import Town, town


@pytest.fixture(scope="module", name="module_stage")
async def _module_stage(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with stage(postgres, tmp_path_factory.mktemp("stage")) as made:
        yield made


@pytest.fixture(name="stage")
async def _stage(module_stage: Stage) -> Stage:
    await module_stage.clear()
    return module_stage


@pytest.fixture(name="town")
async def _town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    async with town(Path(tmp_path_factory.mktemp("t"))) as made:
        yield made
