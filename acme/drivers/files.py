"""`file:`: objects as files in a folder, on one machine or on a file system that all share.

An object is written into a temporary file, flushed to the disk, and then given its name in one step (`link`, which fails
where there is one, or `rename`); then the folder is flushed. So it is there whole or not at all, and survives a crash. A
folder cannot keep anybody from deleting files, so nothing is ever locked here: whoever needs that uses `s3://` with object
lock.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import unquote, urlsplit

from acme.errors import Unavailable
from acme.ports import ObjectExists, ObjectFacts, ObjectMissing, ObjectStore

T = TypeVar("T")

NAME: Final = re.compile(r"(?!.*(^|/)\.{1,2}(/|$))[A-Za-z0-9\-_.=+~]+(/[A-Za-z0-9\-_.=+~]+)*")
"""Names that every store takes."""
LONGEST: Final = 900
"""Characters of a name."""
_DRAFT: Final = ".draft~"
"""Beginning of the name of a temporary file; no object's name has a part like it."""


def check(name: str) -> str:
    """The name, if it is one for an object.

    Raises:
        ValueError: it is not.
    """
    if len(name) > LONGEST or not NAME.fullmatch(name) or any(part.startswith(_DRAFT) for part in name.split("/")):
        raise ValueError(f"{name[:100]!r} cannot be the name of an object")
    return name


async def open_objects(url: str, *, data: Path, **_: object) -> ObjectStore:
    """The folder at `url`, such as "file:///srv/archive"; without a path, the folder `archive` of the data folder.

    Raises:
        ValueError: a URL that names another machine.
    """
    parts = urlsplit(url)
    if parts.netloc:
        raise ValueError(f"file://{parts.netloc}/… is on another machine: write file:///path")
    return Files(Path(unquote(parts.path)) if parts.path else data / "archive")


class Files:
    """The objects in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._state = "ok"

    async def create(self, name: str, content: bytes, *, locked_until: datetime | None = None) -> None:
        path = self._path(name)

        def write() -> None:
            if path.exists():
                raise ObjectExists(name)
            with _draft(path, content) as draft:
                try:
                    os.link(draft, path)
                except FileExistsError:
                    raise ObjectExists(name) from None
            _flush(path.parent)

        await self._do(write)

    async def put(self, name: str, content: bytes) -> None:
        path = self._path(name)

        def write() -> None:
            with _draft(path, content) as draft:
                os.replace(draft, path)
            _flush(path.parent)

        await self._do(write)

    async def get(self, name: str) -> bytes:
        path = self._path(name)

        def read() -> bytes:
            try:
                return path.read_bytes()
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                raise ObjectMissing(name) from None

        return await self._do(read)

    async def facts(self, name: str) -> ObjectFacts:
        path = self._path(name)

        def look() -> ObjectFacts:
            found = _facts(path, name)
            if found is None:
                raise ObjectMissing(name)
            return found

        return await self._do(look)

    async def list(self, prefix: str = "", *, after: str = "") -> AsyncIterator[ObjectFacts]:
        if prefix:
            check(prefix.rstrip("/"))
        for name in await self._do(lambda: sorted(_names(self._folder, prefix))):
            if name > after:
                found = await self._do(partial(_facts, self._folder / name, name))
                if found is not None:
                    yield found

    async def delete(self, name: str) -> None:
        path = self._path(name)

        def unlink() -> None:
            with suppress(FileNotFoundError, NotADirectoryError):
                path.unlink()
                _flush(path.parent)

        await self._do(unlink)

    async def lock(self, name: str, until: datetime) -> None:
        await self.facts(name)
        raise ValueError("a folder cannot keep anybody from deleting files: use s3:// with object lock")

    @property
    def state(self) -> str:
        return self._state

    async def close(self) -> None:
        return None

    def _path(self, name: str) -> Path:
        return self._folder / check(name)

    async def _do(self, work: Callable[[], T]) -> T:
        """In a thread: a disk may take its time."""
        try:
            done = await asyncio.to_thread(work)
        except OSError as error:
            self._state = f"the folder cannot be used: {error.strerror or type(error).__name__}"
            raise Unavailable(f"the archive's folder cannot be used: {error.strerror}") from error
        self._state = "ok"
        return done


class _draft:  # a block, used like a function
    """A temporary file beside `path`, written and flushed; gone at the end of the block, if it still is there."""

    def __init__(self, path: Path, content: bytes) -> None:
        self._path, self._content = path, content

    def __enter__(self) -> Path:
        missing = [parent for parent in (self._path.parent, *self._path.parent.parents) if not parent.exists()]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        for made in reversed(missing):
            _flush(made.parent)
        self._draft = self._path.parent / f"{_DRAFT}{secrets.token_hex(8)}"
        with self._draft.open("xb") as file:
            file.write(self._content)
            file.flush()
            os.fsync(file.fileno())
        return self._draft

    def __exit__(self, *_: object) -> None:
        with suppress(FileNotFoundError):
            self._draft.unlink()


def _flush(folder: Path) -> None:
    """Makes the names in a folder survive a crash."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _facts(path: Path, name: str) -> ObjectFacts | None:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return ObjectFacts(name, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))


def _names(folder: Path, prefix: str) -> Iterator[str]:
    """The names that begin with `prefix`, in any order. ASCII, so that their order is that of their UTF-8."""
    start = folder / prefix.rpartition("/")[0]
    for parent, _, files in os.walk(start):
        for file in files:
            name = (Path(parent) / file).relative_to(folder).as_posix()
            if name.startswith(prefix) and not file.startswith(_DRAFT):
                yield name
