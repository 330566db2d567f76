"""What the platform asks of the outside world, as Protocols. Each has one contract suite that all its drivers pass.

Drivers live in `acme/drivers/`, one file a technology, and are chosen by the scheme of a URL; services get the ports
through `Resources` and never learn which driver is behind them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Row(Protocol):
    """One row: by position, by column name, or as an iterator of values."""

    def __getitem__(self, key: int | str) -> Any: ...
    def __iter__(self) -> Iterator[Any]: ...
    def __len__(self) -> int: ...


class UniqueViolation(Exception):
    """A statement broke a unique constraint; `constraint` is its name."""

    def __init__(self, constraint: str) -> None:
        super().__init__(constraint)
        self.constraint = constraint


class SerializationFailure(Exception):
    """The database ended a transaction that may succeed when repeated whole (SQLSTATE class 40)."""


class Statements(Protocol):
    """SQL statements with `$1` placeholders. Cancelling the awaiting task cancels the statement in the server.

    Raises:
        UniqueViolation, SerializationFailure: see there.
        acme.errors.Unavailable: the database cannot be reached.
    """

    async def fetch(self, sql: str, *args: Any) -> Sequence[Row]: ...
    async def fetchrow(self, sql: str, *args: Any) -> Row | None: ...
    async def fetchval(self, sql: str, *args: Any) -> Any: ...
    async def execute(self, sql: str, *args: Any) -> str: ...


class Connection(Statements, Protocol):
    """One connection, held by one user at a time."""

    async def begin(self) -> None: ...
    async def commit(self) -> None: ...
    async def rollback(self) -> None: ...


class Database(Protocol):
    """One PostgreSQL database behind a bounded pool: connections LIFO, waiters FIFO."""

    def connection(self) -> AbstractAsyncContextManager[Connection]:
        """Lends a connection. One given back inside a transaction, or after a cancelled statement, is cleaned or closed
        before anybody else gets it, without making the caller wait."""
        ...

    async def close(self) -> None: ...


class Clock(Protocol):
    """The time. Tests move it; SQL never calls now()."""

    def now(self) -> datetime:
        """Aware, UTC, microseconds."""
        ...

    def time(self) -> float:
        """Seconds since the Unix epoch, of the same clock as `now`."""
        ...


@dataclass(frozen=True, slots=True)
class Mail:
    """One e-mail, plain text. `id` makes a repeated send recognisable."""

    id: str
    to: str
    subject: str
    text: str
    links: tuple[str, ...] = ()


class Mailer(Protocol):
    """Sends e-mail. Sending the same id twice delivers once where the technology can tell."""

    async def send(self, mail: Mail) -> None: ...
    async def close(self) -> None: ...


class Cipher(Protocol):
    """Authenticated encryption with keys derived from the platform's master secret.

    `purpose` separates keys (HKDF info); `bound` is authenticated and not stored (the AEAD's associated data).
    """

    def seal(self, purpose: str, plain: bytes, bound: bytes = b"") -> bytes: ...

    def open(self, purpose: str, sealed: bytes, bound: bytes = b"") -> bytes:
        """Raises `ValueError` when `sealed` was not made by `seal` with the same purpose and bound bytes."""
        ...

    def mac(self, purpose: str, message: bytes) -> bytes:
        """HMAC-SHA256, 32 bytes."""
        ...


class Directory(Protocol):
    """Contract → client. The client is a stable proxy: placements can be swapped under it."""

    def client(self, stub: type[T]) -> T: ...
