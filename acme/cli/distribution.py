"""Which plugin a command is about: an installed one by its name, or the one whose distribution lies in a folder."""

from __future__ import annotations

import importlib.metadata
import sys
import tomllib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from acme.runtime.discovery import GROUP


class NoPlugin(Exception):
    """There is no such plugin; the text says where it was looked for."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """A plugin, and the folder its `pyproject.toml` is in."""

    point: importlib.metadata.EntryPoint
    folder: Path | None
    """`None` for one that is installed without its sources."""

    @property
    def installed(self) -> bool:
        """Whether other processes find it too."""
        return self.point in importlib.metadata.entry_points(group=GROUP)


def find(where: str) -> Distribution:
    """The plugin named `where`, or that of the folder `where`. Of a folder that is not installed, the package is made
    importable.

    Raises:
        NoPlugin: neither.
    """
    installed = {point.name: point for point in importlib.metadata.entry_points(group=GROUP)}
    folder = Path(where).resolve()
    if where in installed and not (folder / "pyproject.toml").is_file():
        return Distribution(installed[where], _home(installed[where]))
    points = _declared(folder)
    if not points:
        names = ", ".join(sorted(installed))
        raise NoPlugin(
            f"{where} is no installed plugin ({names}), and {folder} has no pyproject.toml that declares one"
        )
    if len(points) > 1:
        raise NoPlugin(f"{folder} declares several plugins: name one of {', '.join(point.name for point in points)}")
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    return Distribution(points[0], folder)


def _declared(folder: Path) -> list[importlib.metadata.EntryPoint]:
    """The plugins that the `pyproject.toml` of a folder declares."""
    file = folder / "pyproject.toml"
    if not file.is_file():
        return []
    try:
        project = tomllib.loads(file.read_text()).get("project", {})
    except ValueError as error:
        raise NoPlugin(f"{file} cannot be read: {error}") from None
    entries = project.get("entry-points", {}).get(GROUP, {})
    return [importlib.metadata.EntryPoint(name, value, GROUP) for name, value in entries.items()]


def _home(point: importlib.metadata.EntryPoint) -> Path | None:
    """The folder around an installed plugin's package that declares it."""
    spec = find_spec(point.module.partition(".")[0])
    if spec is None or spec.origin is None:
        return None
    for folder in list(Path(spec.origin).resolve().parents)[1:4]:  # beside the package, or above `src/` or `plugins/`
        if point in _declared(folder):
            return folder
    return None
