"""Plugins as `acme plugin new` makes them, to be changed and looked at. Each has a name that no other test imports."""

from __future__ import annotations

import itertools
import shutil
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

from acme import codegen
from acme.cli import scaffold

_NUMBERS = itertools.count()


class Made:
    """A plugin's distribution in a folder."""

    def __init__(self, into: Path) -> None:
        letters = "".join(chr(ord("a") + int(digit)) for digit in str(next(_NUMBERS)))
        self.name = f"zz{letters}xes"  # one of them is a zz…x
        self.folder = scaffold.create(self.name, into)
        self.package = self.folder / self.name
        self.proto = f"protos/{self.name}/v1/{self.name}.proto"

    @property
    def point(self) -> EntryPoint:
        """Its entry point, and its package made importable."""
        if str(self.folder) not in sys.path:
            sys.path.insert(0, str(self.folder))
        return EntryPoint(self.name, f"{self.name}:plugin", "acme.plugins")

    def edit(self, file: str, old: str, new: str) -> None:
        """Replaces what has to be there; a contract is generated again."""
        path = self.folder / file
        text = path.read_text()
        assert old in text, f"{file} has no {old!r}"
        path.write_text(text.replace(old, new))
        if file == self.proto:
            self.generate()

    def generate(self) -> None:
        """Brings the contracts up to date."""
        wanted = codegen.generate(self.folder / "protos", f"{self.name}.contracts")
        codegen.write(wanted, self.package / "contracts")

    def forget(self) -> None:
        """Lets the next import read the files again. The generated classes stay: a message registers once a process."""
        for module in [name for name in sys.modules if name.partition(".")[0] == self.name]:
            if not module.startswith(f"{self.name}.contracts"):
                del sys.modules[module]
        for cache in self.folder.rglob("__pycache__"):
            shutil.rmtree(cache)
