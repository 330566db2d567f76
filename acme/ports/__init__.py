"""What the platform asks of the outside world, as Protocols. Each has one contract suite that all its drivers pass.

Drivers live in `acme/drivers/`, one file a technology, and are chosen by the scheme of a URL; services get the ports
through `Resources` and never learn which driver is behind them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Final, Literal, Protocol, TypeVar

from acme.context import Call
from acme.contract import Method
from acme.gcra import Limit
from acme.ports.bus import (
    Bus,
    Ends,
    Fenced,
    Listener,
    Received,
    Record,
    Subscription,
    Topic,
    TopicPartition,
    UnknownTopic,
)
from acme.ports.objects import ObjectExists, ObjectFacts, ObjectLocked, ObjectMissing, ObjectStore
from acme.traces import Trace

__all__ = [
    "LOST",
    "Broadcast",
    "Bus",
    "Cache",
    "CacheStore",
    "Cipher",
    "Clock",
    "Connection",
    "Database",
    "Directory",
    "Ends",
    "Exporter",
    "Fenced",
    "Fetcher",
    "Gap",
    "Heard",
    "Limiter",
    "Listener",
    "Mail",
    "Mailer",
    "Meter",
    "ObjectExists",
    "ObjectFacts",
    "ObjectLocked",
    "ObjectMissing",
    "ObjectStore",
    "Received",
    "Record",
    "Row",
    "SerializationFailure",
    "Statements",
    "Subscription",
    "Topic",
    "TopicPartition",
    "UniqueViolation",
    "UnknownTopic",
]

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

    def connection(self, call: Call | None = None) -> AbstractAsyncContextManager[Connection]:
        """Lends a connection, whose statements are steps of what `call` records. One given back inside a transaction, or
        after a cancelled statement, is cleaned or closed before anybody else gets it, without making the caller wait."""
        ...

    def alone(self, call: Call | None = None) -> Statements:
        """For one statement, on a connection that is lent for as long as it takes."""
        ...

    def queue(self) -> tuple[int, int]:
        """How many wait for a connection, and how many have waited and got one, ever."""
        ...

    async def close(self) -> None: ...


class Exporter(Protocol):
    """Sends traces that have ended to a collector, in its own time: nobody waits for it, and what it cannot send in the end
    is dropped, and counted."""

    def put(self, trace: Trace) -> None:
        """Takes a trace. Steps that end later may be missing."""
        ...

    async def close(self) -> None:
        """Sends what there is once more, and ends, within a few seconds."""
        ...


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


class Fetcher(Protocol):
    """Reads small documents of others over HTTP, such as the keys of an issuer. Whose they may be is the caller's to say.

    A document is what is answered with 200, within the time, in no more bytes than expected. No redirect is followed,
    nothing is unpacked, and neither cookies nor credentials are sent.
    """

    async def fetch(self, url: str, *, timeout: float, most: int) -> bytes:
        """The document at `url`, of up to `most` bytes, within `timeout` seconds, look-up of the name and all.

        Raises:
            acme.errors.Unavailable: there is none to be had; the message says why, and holds nothing that was answered.
        """
        ...

    async def close(self) -> None: ...


class Cache(Protocol):
    """Bytes under names, for a while. One plugin's: others have the same names and never meet.

    It holds nothing that is not written down elsewhere: an entry may be gone before its time (memory is bounded, the store
    restarts), so a miss is normal. When the store fails, `get` misses, `set` and `delete` do nothing, and a metric counts
    it: then what was stored before may come back until its time is over. Whoever cannot bear that puts a version into the
    key. `add` and `increment` answer with a fact, so they raise instead of guessing.

    `key` is 1 to 512 bytes of UTF-8, `value` up to 1 MiB, `ttl` seconds from 0.001 to 30 days.

    Raises:
        ValueError: a key, value or ttl outside of these limits.
    """

    async def get(self, key: str) -> bytes | None:
        """The value; `None` when there is none, or the store does not answer."""
        ...

    async def set(self, key: str, value: bytes, *, ttl: float) -> None:
        """Stores the value for `ttl` seconds, whatever was there."""
        ...

    async def delete(self, key: str) -> None:
        """Forgets the value, if there is one."""
        ...

    async def add(self, key: str, value: bytes, *, ttl: float) -> bool:
        """Stores the value if there is none, and says whether it did. Of many at once, one gets True.

        Raises:
            acme.errors.Unavailable: reason "cache_unavailable", it was not done; reason "outcome_unknown", it may have been.
        """
        ...

    async def increment(self, key: str, by: int = 1, *, ttl: float) -> int:
        """Adds `by` to a counter, and returns what it comes to. The first one begins at 0 and sets the time it lives.

        Counters are decimal digits for `get` and `set`, and within ±2^63.

        Raises:
            ValueError: what is there is no counter, or would leave its range.
            acme.errors.Unavailable: as `add`.
        """
        ...


class CacheStore(Protocol):
    """The store behind the caches of all plugins."""

    def space(self, name: str) -> Cache:
        """The cache of one plugin."""
        ...

    @property
    def state(self) -> str:
        """The word "ok", or what is wrong, for people. Nothing in it is secret."""
        ...

    async def close(self) -> None: ...


class Gap(Enum):
    """What is heard instead of messages that are lost."""

    LOST = "lost"


LOST: Final = Gap.LOST
"""Messages may have been missed: read again what they would have told."""

Heard = bytes | Literal[Gap.LOST]


class Broadcast(Protocol):
    """Says something to whoever listens at the moment, in all processes: at most once, best effort.

    For nudges that make things faster, and never for what must arrive. A subscription hears `LOST` first of all, once it
    stands, and again after every gap (the connection broke, or it was too slow): who reads the truth at each `LOST` has
    missed nothing. Messages of one process arrive in the order it published them. A process hears its own.

    `topic` is 1 to 200 bytes of UTF-8, `message` up to 8 KiB.

    Raises:
        ValueError: a topic or message outside of these limits.
    """

    async def publish(self, topic: str, message: bytes) -> None:
        """Says it. A failure is counted in a metric, and nothing else: nobody can rely on being heard."""
        ...

    def subscribe(self, topic: str) -> AbstractAsyncContextManager[AsyncIterator[Heard]]:
        """Listens inside the block. Entering never waits for the network; the iterator ends when the broadcast is closed.

        It buffers 256 messages; more than that are dropped together, and `LOST` is heard in their place.
        """
        ...

    @property
    def state(self) -> str:
        """The word "ok", or what is wrong, for people. Nothing in it is secret."""
        ...

    async def close(self) -> None: ...


class Meter(Protocol):
    """Buckets of one limit, one a key."""

    def take(self, key: str, now: float | None = None, units: int = 1, /) -> int:
        """Takes `units` from the key's bucket, if they are left; more than a bucket holds are all that it holds. Waits for
        nothing.

        `now` is the platform's time, of whoever has just read its clock; a driver with a clock of its own has no use for it.

        Returns what is spare: `limit.left` and `limit.more` read it, and below zero means no (`acme.gcra`).
        """
        ...

    def shares(self, key: str) -> bool:
        """Whether a key that was just taken from has no bucket of its own: what was taken is charged to others as well."""
        ...


class Limiter(Protocol):
    """Says who may have how much of something: by GCRA (`acme.gcra`), one bucket a key.

    The promise, for each key and any two moments: at most `burst + rate·t` units are admitted between them; where several
    processes share the buckets, and each holds some allowance beforehand, so much more as they held: the driver states how
    much that can be. `take` answers at once, whatever happened to the others.

    Memory is bounded. A meter has buckets for `keys` keys, or for half of them where one takes up more. A key that comes
    while each of them is in use shares one: with those of the same group, where the meter is told what is `wider`, and else
    one of a few more. Sharing is stricter for it and never more generous, also in the moment when it gets a bucket of its
    own. A bucket is given up only when it is full, which nobody can tell from a new one.
    """

    def meter(
        self, name: str, limit: Limit, *, keys: int = 100_000, wider: Callable[[str], str] | None = None
    ) -> Meter:
        """The buckets of a name. Asked for again, they are the same; with another limit too, where the driver can. Meters of
        one name and limit in several processes are the same, where they share.

        `name` is 1 to 200 bytes of UTF-8 without a colon. `wider` gives a key's group, the group's own, and "" at the end;
        there are half as many buckets again for groups, and for groups of those.
        """
        ...

    @property
    def state(self) -> str:
        """The word "ok", or what is wrong and what that means, for people. Nothing in it is secret."""
        ...

    async def close(self) -> None: ...


class Directory(Protocol):
    """Contract → client. The client is a stable proxy: placements can be swapped under it."""

    def client(self, stub: type[T]) -> T: ...


class Entry(Protocol):
    """Where calls of one method come in, from outside of all services."""

    @property
    def send(self) -> Callable[[Call, Any], Awaitable[Any]]:
        """(the callee's call, request) → what the caller makes of the reply. Looked up for each call: the service may have
        moved."""
        ...


class Front(Directory, Protocol):
    """The directory of a gateway, which makes the `Call` of a request itself."""

    def entry(self, method: Method, reply: Callable[[Any], Any], fresh: Callable[[Any], Any] | None = None) -> Entry:
        """Of a method that does not stream. `reply` is what the caller makes of a reply that has come over a wire, or is a
        copy; `fresh`, where it can do that, of the message that the handler has just made: it raises ValueError for what a
        wire cannot carry, and keeps nothing of it. The first item of what both return is bytes, the reply's text."""
        ...
