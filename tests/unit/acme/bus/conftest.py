"""A stage for every module of these tests, empty at the start of every test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from acme.testing.server import Server
from tests.hearing import TABLES
from tests.services import Stage, stage


@pytest.fixture(scope="module", name="module_stage")
async def _module_stage(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with stage(postgres, tmp_path_factory.mktemp("stage")) as made:
        yield made


@pytest.fixture(name="stage")
async def _stage(module_stage: Stage) -> Stage:
    await module_stage.clear()
    await module_stage.sql(TABLES)
    return module_stage
