"""What the commands share: options, the settings they make, and how a command fails."""

from __future__ import annotations

import gc
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:  # commands import the platform when they are called
    from acme.runtime.reloading import Reread
    from acme.runtime.settings import Config

Data = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="Data folder. [default: [platform] data, .acme]")
]
Overlays = Annotated[
    list[Path] | None,
    typer.Option(
        "--config", "-c", metavar="FILE", help="Settings over those of acme.toml; may be given several times."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON value on stdout, for programs.")]


def read_settings(
    overlays: Sequence[Path] | None,
    data: Path | None,
    port: int | None = None,
    *,
    workers: int | None = None,
    tls: bool = False,
    **tables: dict[str, Any],
) -> Config:
    """The configuration: defaults, files, environment and what was given, `tables` as they stand. `tls`: over HTTPS, with a
    certificate of this machine's own authority where no other is configured.

    Raises:
        acme.config.ConfigError: it cannot be used.
    """
    from acme.runtime import settings

    values: dict[str, Any] = dict(tables)
    if data is not None:
        values["platform"] = {"data": str(data)}
    gateway = {name: value for name, value in (("port", port), ("workers", workers)) if value is not None}
    if gateway:
        values["gateway"] = gateway
    files = [*settings.default_files(), *(overlays or [])]
    found = settings.load(files, os.environ, values)
    if tls and not found.gateway.tls.on:
        values["gateway"] = {**values.get("gateway", {}), "tls": {"local": True}}
        found = settings.load(files, os.environ, values)
    return found


def without_collector() -> None:
    """Until a process of the platform is ready, or ends without having been. What a start makes stays: to look through it
    for what is garbage takes a tenth of the start."""
    gc.disable()


def rereading(
    overlays: Sequence[Path] | None,
    data: Path | None,
    port: int | None = None,
    *,
    workers: int | None = None,
    tls: bool = False,
    **tables: dict[str, Any],
) -> Reread:
    """What reads the same configuration again; with other overlays, when it is given some."""

    def reread(files: Sequence[Path] | None) -> Config:
        return read_settings(overlays if files is None else files, data, port, workers=workers, tls=tls, **tables)

    return reread


def fail(*lines: str, code: int = 1) -> NoReturn:
    """Ends the command: what went wrong on stderr, the details indented."""
    typer.echo("acme: " + "\n  ".join(lines), err=True)
    raise SystemExit(code)
