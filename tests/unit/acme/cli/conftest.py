"""The command line, ready to be called."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.unit.acme.cli.command import Command


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    for variable in list(os.environ):
        if variable.startswith("ACME_"):
            monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # main() sets its own
    return Command(tmp_path, monkeypatch, capsys)
