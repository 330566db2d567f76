"""A stranger for every test."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.acme.codec.avro.stranger import Stranger


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[Stranger]:
    made = Stranger(tmp_path)
    yield made
    if str(made.root) in sys.path:
        sys.path.remove(str(made.root))
