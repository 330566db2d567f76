"""Every metric is in the README, under the name that dashboards use."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.house.tree import parsed, sources, text

DECLARES = frozenset({"counter", "histogram", "gauge", "counted", "readers"})


def names() -> Iterator[str]:
    """What is declared by its name anywhere."""
    for path in sources("acme", "plugins"):
        if not any(f".{name}(" in text(path) for name in DECLARES):
            continue  # every worker of pytest-xdist asks, and to parse them all takes seconds
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in DECLARES:
                first = node.args[0] if node.args else None
                if isinstance(first, ast.Constant) and isinstance(first.value, str) and "_" in first.value:
                    yield first.value


METRICS = sorted(set(names()))


def test_the_metrics_are_found() -> None:
    assert {"http_server_request_duration_seconds", "db_client_connection_count", "acme_tasks"} <= set(METRICS)


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_is_in_the_readme(name: str) -> None:
    assert f"`{name}`" in text("README.md")
