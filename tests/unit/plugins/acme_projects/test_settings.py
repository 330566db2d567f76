"""The rules of settings that need no caller of their own; the others are tested through the contract."""

from __future__ import annotations

from typing import Any

import pytest
from acme_projects.settings import DEEPEST, _depth


@pytest.mark.parametrize(("value", "levels"), [(1, 0), ({}, 1), ({"a": 1}, 1), ({"a": [], "b": {"c": [1]}}, 3)])
def test_depth_counts_objects_and_arrays(value: Any, levels: int) -> None:
    assert _depth(value) == levels


def test_depth_is_counted_beyond_pythons_stack() -> None:
    value: Any = 1
    for _ in range(100_000):
        value = [value]
    assert _depth(value) > DEEPEST
