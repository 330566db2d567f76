"""Where large and immutable things are kept: files with names, in a folder or a bucket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


class ObjectExists(Exception):
    """There is an object of this name already; `args[0]` is the name. Nothing was written."""


class ObjectMissing(Exception):
    """There is no object of this name; `args[0]` is the name."""


class ObjectLocked(Exception):
    """The object may not be deleted or changed yet; `args[0]` is its name."""


@dataclass(frozen=True, slots=True)
class ObjectFacts:
    """What is known of an object without reading it."""

    name: str
    size: int
    """Bytes."""
    modified_at: datetime
    locked_until: datetime | None = None
    """Until then nobody deletes it, this platform included."""


class ObjectStore(Protocol):
    """Objects by name. All drivers pass `tests/contract/objects`.

    `name` is 1 to 900 bytes of UTF-8: parts of letters, digits and `-_.=+~` with single slashes between them; no part is
    "." or "..". An object appears whole or not at all, and one that was reported as written survives a crash.

    Raises, all of it:
        ValueError: a name outside of these limits.
        acme.errors.Unavailable: the store cannot be reached, or does not answer in time.
    """

    async def create(self, name: str, content: bytes, *, locked_until: datetime | None = None) -> None:
        """Writes an object that does not exist yet; of several at once one succeeds. `locked_until`: nobody deletes or
        replaces it before, where the store can see to that (S3 Object Lock in COMPLIANCE mode; a folder cannot).

        Raises:
            ObjectExists: there is one.
        """
        ...

    async def put(self, name: str, content: bytes) -> None:
        """Writes an object, whatever was there.

        Raises:
            ObjectLocked: what is there may not be replaced.
        """
        ...

    async def get(self, name: str) -> bytes:
        """All of it.

        Raises:
            ObjectMissing: there is none.
        """
        ...

    async def facts(self, name: str) -> ObjectFacts:
        """Its size and age.

        Raises:
            ObjectMissing: there is none.
        """
        ...

    def list(self, prefix: str = "", *, after: str = "") -> AsyncIterator[ObjectFacts]:
        """The objects whose names begin with `prefix` and come after `after`, in the order of the names' UTF-8."""
        ...

    async def delete(self, name: str) -> None:
        """Deletes it, if there is one.

        Raises:
            ObjectLocked: not yet.
        """
        ...

    async def lock(self, name: str, until: datetime) -> None:
        """Nobody deletes it before then. Only ever made longer: an earlier time than the one that holds is refused.

        Raises:
            ObjectMissing: there is none.
            ValueError: the store cannot lock, or it is locked for longer.
        """
        ...

    @property
    def state(self) -> str:
        """The word "ok", or what is wrong, for people. Nothing in it is secret."""
        ...

    async def close(self) -> None: ...
