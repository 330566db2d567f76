"""`acme up --split` and `--workers`: what the children log, with their names, and the overlay that is read for it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

import msgspec

from acme.cli.options import fail, read_settings

if TYPE_CHECKING:  # commands import the platform when they are called
    from acme.runtime.report import Report
    from acme.runtime.settings import Config
    from acme.runtime.supervisor import Shape

OVERLAY: Final = Path("config/split.toml")
"""Read over acme.toml, from the working directory, when it is there."""


def run(
    overlays: Sequence[Path],
    data: Path | None,
    port: int | None,
    announce: Callable[[Report], None],
    *,
    tls: bool = False,
) -> None:
    """Runs gateway and plugins in processes of their own until it is told to stop."""
    files = [*([OVERLAY] if OVERLAY.exists() else []), *overlays]
    settings = read_settings(files, data, port=port, tls=tls)
    from acme.runtime.shapes import Split

    _run(settings, files, Split(), announce)


def workers(settings: Config, overlays: Sequence[Path], announce: Callable[[Report], None]) -> None:
    """Runs processes that are alike until it is told to stop."""
    from acme.runtime.shapes import Workers

    _run(settings, overlays, Workers(), announce)


def _run(settings: Config, files: Sequence[Path], shape: Shape, announce: Callable[[Report], None]) -> None:
    from acme.runtime import supervisor
    from acme.runtime.databases import CannotStart
    from acme.runtime.datafolder import FolderError
    from acme.runtime.signals import Interrupted
    from acme.telemetry import configure_logs

    as_text = settings.log.as_text(sys.stderr)
    configure_logs(json=not as_text, level=settings.log.level)
    # The children log to us and not to the terminal: they are told what it would have told them.
    environ = {**os.environ, "ACME_LOG__FORMAT": "text" if as_text else "json"}
    if settings.gateway.tls.local:
        environ["ACME_GATEWAY__TLS__LOCAL"] = "true"
    try:
        supervisor.run(settings, environ, files, announce, Lines(sys.stderr, as_text=as_text).write, shape)
    except (CannotStart, FolderError) as error:
        fail(*str(error).splitlines())
    except Interrupted:
        fail("stopped before it was ready", code=130)


class Lines:
    """Lines of several processes on one stream, each with the name of its process."""

    def __init__(self, stream: TextIO, *, as_text: bool) -> None:
        self._stream, self._as_text = stream, as_text

    def write(self, name: str, line: bytes) -> None:
        """One line. As text the name goes before it; a line of JSON stays one, and gets the name as its first key."""
        text = line.decode(errors="replace").rstrip("\r")
        with suppress(OSError):  # whoever read our log has gone: the processes go on, and must not wait for a reader
            self._write(name, text)

    def _write(self, name: str, text: str) -> None:
        if self._as_text:
            self._stream.write(f"{name:<12} {text}\n")
        elif text.startswith("{") and text.endswith("}") and len(text) > 2:
            self._stream.write(f'{{"process":"{name}",{text[1:]}\n')
        elif text:
            self._stream.write(msgspec.json.encode({"process": name, "event": text}).decode() + "\n")
        self._stream.flush()
