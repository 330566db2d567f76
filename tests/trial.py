"""A stranger's contract, tests/protos/trial, generated once per test process the way a stranger would do it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from acme import codegen
from acme.contract import Contracts, load

PROTOS = Path(__file__).parent / "protos"
PACKAGE = "trial_contracts"


@pytest.fixture(scope="session")
def trial_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder on the import path that holds the package `trial_contracts`."""
    folder = tmp_path_factory.mktemp("stranger")
    assert codegen.main(["--protos", str(PROTOS), "--package", PACKAGE, "--out", str(folder / PACKAGE)]) == 0
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


@pytest.fixture(scope="session")
def trial(trial_folder: Path) -> Contracts:
    """Our contracts and the stranger's."""
    return load("acme.contracts", PACKAGE)
