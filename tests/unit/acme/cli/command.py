"""Calls the command line in this process."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest

from acme.cli import main


@dataclass(frozen=True, slots=True)
class Ended:
    """What a command left."""

    code: int
    out: str
    err: str


class Command:
    """`acme`, in a working directory of its own."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, captured: pytest.CaptureFixture[str]) -> None:
        self.folder, self._patch, self._captured = folder, patch, captured

    def within(self, environ: Mapping[str, str]) -> Self:
        """From now on in its folder, and with this environment."""
        for name in set(os.environ) - set(environ):
            self._patch.delenv(name)
        for name, value in environ.items():
            self._patch.setenv(name, value)
        self._patch.chdir(self.folder)
        self._patch.setattr(sys, "excepthook", sys.excepthook)  # main() sets its own
        return self

    def __call__(self, *arguments: str) -> Ended:
        self._patch.setattr(sys, "argv", ["acme", *arguments])
        try:
            with pytest.raises(SystemExit) as caught:
                main()
        finally:
            gc.enable()  # a start does without, and one that fails leaves it to the end of its process
        out, err = self._captured.readouterr()
        code = caught.value.code
        return Ended(code if isinstance(code, int) else 0, out, err)


@contextmanager
def ending(limit: float) -> Iterator[None]:
    """Tells a platform that did start in this process, against what was expected, to end."""
    late = threading.Timer(limit, os.kill, (os.getpid(), signal.SIGTERM))
    late.start()
    try:
        yield
    finally:
        late.cancel()
