"""Calls the command line in this process."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from acme.cli import main


@dataclass(frozen=True, slots=True)
class Ended:
    """What a command left."""

    code: int
    out: str
    err: str


class Command:
    """`acme`, in an empty working directory."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, captured: pytest.CaptureFixture[str]) -> None:
        self.folder, self._patch, self._captured = folder, patch, captured

    def __call__(self, *arguments: str) -> Ended:
        self._patch.setattr(sys, "argv", ["acme", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        out, err = self._captured.readouterr()
        code = caught.value.code
        return Ended(code if isinstance(code, int) else 0, out, err)
