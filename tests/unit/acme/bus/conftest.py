"""A stage for every module of these tests, empty at the start of every test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from acme.ports import Topic
from acme.tasks import Tasks
from acme.telemetry import Metrics
from acme.testing.server import Server
from tests.hearing import TABLES, TOPIC
from tests.services import Stage, stage
from tests.unit.acme.bus.groups import PARTITIONS, Opener


@pytest.fixture(scope="module", name="module_stage")
async def _module_stage(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with stage(postgres, tmp_path_factory.mktemp("stage")) as made:
        yield made


@pytest.fixture(name="stage")
async def _stage(module_stage: Stage) -> Stage:
    await module_stage.clear()
    await module_stage.sql(TABLES)
    return module_stage


@pytest.fixture
async def log(postgres: Server, stage: Stage) -> AsyncIterator[Opener]:
    """Opens clients of a fresh log that has the topic."""
    async with postgres.database() as name, AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(Tasks("log", Metrics()))
        opener = Opener(postgres.url(name), stage, stack)
        await opener(tasks).declare([Topic(TOPIC, partitions=PARTITIONS)])
        yield opener
