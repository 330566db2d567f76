"""A spool on disk: audit records of the gateway, which has no database, until the audit service has taken them.

    FOLDER/0/lock         held by the process that the folder belongs to (flock, which ends with the process)
    FOLDER/0/open.jsonl   what is still being counted; written whole, then renamed
    FOLDER/0/N.jsonl      what waits, oldest first: lines of JSON, each write followed by fsync

A process takes the first folder that nobody holds, and with it what a killed one has left there. What is being counted when
a process ends waits for the next one. There is room for `LIMIT` bytes; what comes when it is full is dropped, and the caller
told: the oldest are kept, since an attacker who fills the spool must not wash its beginning away.

All of it blocks: call it in a thread.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Final

LIMIT: Final = 10 * 1024 * 1024
"""Bytes of the lines that wait."""
SEGMENT: Final = 256 * 1024
"""Bytes after which a new file is begun."""
_OPEN: Final = "open.jsonl"


class Spool:
    """Lines that survive the process. One owner, one thread at a time."""

    def __init__(self, folder: Path, *, limit: int = LIMIT, segment: int = SEGMENT) -> None:
        """Takes a folder under `folder`, and what free folders beside it hold.

        Raises:
            OSError: it cannot be written.
        """
        self._limit, self._most = limit, segment
        self._lock, self.folder = _taken(folder)
        for other in _others(folder, self.folder):
            with other[0]:
                self._adopt(other[1])
        for path in self._segments():
            _mend(path)
        self.pending = sum(path.read_bytes().count(b"\n") for path in self._segments())
        """Lines that wait."""
        self._size = sum(path.stat().st_size for path in self._segments())
        left = self.folder / _OPEN
        if left.exists():
            self.add(left.read_bytes().splitlines())
            left.unlink()

    def add(self, lines: Iterable[bytes]) -> int:
        """Appends lines; returns how many of them found no room. When this returns, the others are on the disk."""
        kept, dropped = bytearray(), 0
        added = 0
        for line in lines:
            if self._size + len(kept) + len(line) + 1 > self._limit:
                dropped += 1
            else:
                kept += line + b"\n"
                added += 1
        if kept:
            segments = self._segments()
            last = segments[-1] if segments else None
            if last is None or last.stat().st_size >= self._most:
                last = self.folder / f"{int(last.stem) + 1 if last else 0:012d}.jsonl"
            before = last.stat().st_size if last.exists() else 0
            try:
                _write(last, bytes(kept), "ab")
            except OSError:
                if last.exists():
                    os.truncate(last, before)  # half a line would spoil the next one
                raise
            self._size += len(kept)
            self.pending += added
        return dropped

    def note(self, lines: Sequence[bytes]) -> None:
        """Remembers what is not finished, in the place of what was noted before."""
        path = self.folder / _OPEN
        if lines or path.exists():
            new = path.with_suffix(".new")
            _write(new, b"".join(line + b"\n" for line in lines), "wb")
            new.replace(path)

    def oldest(self) -> tuple[Path, list[bytes]] | None:
        """The oldest file and its lines; `None` when nothing waits."""
        segments = self._segments() if self.pending else []
        return (segments[0], segments[0].read_bytes().splitlines()) if segments else None

    def done(self, segment: Path, lines: int) -> None:
        """Forgets the first lines of a file that `oldest` gave: they are elsewhere by now."""
        content = segment.read_bytes()
        rest = content.split(b"\n", lines)[lines]
        if rest:
            new = segment.with_suffix(".new")
            _write(new, rest, "wb")
            new.replace(segment)
        else:
            segment.unlink()
        self._size -= len(content) - len(rest)
        self.pending -= lines

    def close(self) -> None:
        """Lets go of the folder; what is in it stays."""
        self._lock.close()

    def _segments(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("*.jsonl") if path.name != _OPEN)

    def _adopt(self, folder: Path) -> None:
        """Takes over the files of a folder that nobody holds: after ours, in their order."""
        segments = self._segments()
        number = int(segments[-1].stem) + 1 if segments else 0
        left = sorted(path for path in folder.glob("*.jsonl") if path.name != _OPEN)
        for path in [*left, folder / _OPEN]:
            if path.exists():
                path.rename(self.folder / f"{number:012d}.jsonl")
                number += 1


def _mend(path: Path) -> None:
    """Takes away the torn last line that a crash has left."""
    content = path.read_bytes()
    whole = content.rpartition(b"\n")[0]
    if content and not content.endswith(b"\n"):
        os.truncate(path, len(whole) + 1 if whole else 0)
    if not path.stat().st_size:
        path.unlink()


def _taken(folder: Path) -> tuple[IO[bytes], Path]:
    number = 0
    while True:
        own = folder / str(number)
        own.mkdir(parents=True, exist_ok=True, mode=0o700)
        if (lock := _locked(own)) is not None:
            return lock, own
        number += 1


def _others(folder: Path, own: Path) -> list[tuple[IO[bytes], Path]]:
    found = ((_locked(path), path) for path in sorted(folder.iterdir()) if path.is_dir() and path != own)
    return [(lock, path) for lock, path in found if lock is not None]


def _locked(folder: Path) -> IO[bytes] | None:
    lock = (folder / "lock").open("ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock


def _write(path: Path, content: bytes, mode: str) -> None:
    with open(path, mode, opener=_private) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
