"""A shelf for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from acme.testing.server import Server
from tests.archives import Shelf, shelf


@pytest.fixture(name="shelf")
async def _shelf(postgres: Server, tmp_path: Path) -> AsyncIterator[Shelf]:
    async with postgres.database() as name, shelf(postgres.url(name), tmp_path) as made:
        yield made
