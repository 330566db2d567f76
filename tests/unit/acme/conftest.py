"""Fixtures of the contract pipeline's tests, and what runs of pytest inside of tests have in common."""

from __future__ import annotations

import pytest

from tests.trial import trial, trial_folder

__all__ = ["trial", "trial_folder"]


@pytest.fixture(autouse=True)
def _pytest_as_authors_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the plugins that are installed for our own tests: each start of pytest takes a second longer with them."""
    ours = ("schemathesis", "hypothesispytest", "valkey", "anyio")
    monkeypatch.setenv("PYTEST_ADDOPTS", " ".join(f"-p no:{name}" for name in ours))
