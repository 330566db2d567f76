"""One running platform a test file, where a test does not need one of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.running import Platform, platform


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform with the settings that stand in the box."""
    with platform(tmp_path_factory.mktemp("platform")) as one:
        yield one
