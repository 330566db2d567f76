"""DATA: what is kept on this machine, who holds it, and its master secret.

DATA/lock          held (flock) by the process that runs on the folder
DATA/postgres…     the embedded database and its log: see `drivers/embedded.py`
DATA/mailbox/      mails of the `mailbox:` driver
DATA/run/          sockets of the processes on this machine: see `runfolder.py`
DATA/secrets/      0700; `master.key` (0600), what `acme reset` deletes with the rest
"""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from acme.drivers import mailbox, processes
from acme.drivers.mailbox import KeptMail
from acme.runtime.runfolder import RunFolder, alive
from acme.runtime.settings import decode_key

__all__ = ["FolderError", "KeptMail", "check", "claim", "mails", "master_key", "reset", "size"]


class FolderError(Exception):
    """The data folder cannot be used as asked; the text is for people."""


@contextmanager
def claim(data: Path) -> Iterator[None]:
    """Holds the folder. The embedded database holds it by itself, in the same way; this is for platforms without one.

    Raises:
        FolderError: another process holds it.
    """
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = processes.hold(data)
    except processes.DataFolderInUse as error:
        raise FolderError(str(error)) from None
    try:
        yield
    finally:
        os.close(descriptor)


def size(data: Path) -> int:
    """Bytes that the folder's files take on disk."""
    total = 0
    for folder, _, files in os.walk(data):
        for name in files:
            try:
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512
            except FileNotFoundError:
                continue  # PostgreSQL recycles files while we look
    return total


def check(data: Path) -> None:
    """Raises `FolderError` when this is no data folder of ours, or a process runs on it."""
    if not data.is_dir():
        raise FolderError(f"{data} does not exist")
    if not (data / "lock").exists():
        raise FolderError(f"{data} is not a data folder of the platform: there is no file named lock in it")
    with claim(data):
        pass
    if found := serving(data):
        raise FolderError(f"{data} is in use: a process of `acme serve` listens on {found[0]}")


def serving(data: Path) -> list[Path]:
    """Control sockets of the processes that run on the folder; those of `acme serve` hold no lock, since they share it."""
    if not (data / "run").is_dir():
        return []
    folder = RunFolder(data)
    try:
        return [folder.path / name for name in folder.controls() if alive(folder.socket(name))]
    finally:
        folder.close()


def reset(data: Path) -> None:
    """Deletes the folder.

    Raises:
        FolderError: see `check`.
    """
    check(data)
    with claim(data):
        shutil.rmtree(data)


def master_key(data: Path, configured: str, *, make: bool = True) -> bytes:
    """The master secret: the configured one, or the one in DATA/secrets, made at the first start if `make`.

    Raises:
        FolderError: the file is damaged. It is never replaced: what it encrypted would be lost. Or it is missing, and a
            process that is one of several would make a secret that no other process knows.
    """
    if configured:
        return decode_key(configured)
    folder = data / "secrets"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / "master.key"
    if not path.exists() and not make:
        raise FolderError(
            f"there is no master key: all processes of a platform share one. Set [secrets] master_key"
            f" (ACME_SECRETS__MASTER_KEY), or put the file at {path}"
        )
    if not path.exists():
        _write_new(path, base64.b64encode(os.urandom(32)) + b"\n")
    try:
        return decode_key(path.read_text(encoding="ascii").strip())
    except ValueError as error:
        raise FolderError(f"{path} is damaged: put the right one back, or set [secrets] master_key") from error


def _write_new(path: Path, content: bytes) -> None:
    """Whole or not at all, and never over a file that somebody else was faster to write."""
    temporary = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        os.unlink(temporary)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def mails(data: Path) -> list[KeptMail]:
    """The mails kept locally, newest first."""
    return mailbox.mails(data / "mailbox")
