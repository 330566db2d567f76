"""A rig on a fresh database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from acme.testing.server import Server
from tests.audits import Rig
from tests.audits import rig as opened


@pytest.fixture
async def rig(postgres: Server, tmp_path: Path) -> AsyncIterator[Rig]:
    async with opened(postgres, tmp_path) as rig:
        yield rig
