"""What the suite runs over: a technology that is up, and the clients that are opened to it.

A driver is one entry of `DRIVERS` in conftest.py: a function that takes a folder and gives an asynchronous context manager
of its `Rig`. Whatever the port leaves to the driver is a field of the rig, and nowhere in a test is a driver's name.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path

from acme.ports import Bus, Record
from acme.tasks import Tasks
from acme.telemetry import Metrics

_NUMBERS = itertools.count()


@dataclass(frozen=True)
class Rig:
    """A technology that is up."""

    open: Callable[[Tasks, Metrics], Bus]
    """Makes a client. Its leases and heartbeats are as short as the technology allows, so that crashes are noticed soon."""
    deduplicates: bool
    """Whether appending the same (source, id) again has no effect."""
    turn: float = 10.0
    """Seconds in which something that was sent arrives, and a group that changed stands again."""
    crash: float = 15.0
    """Seconds in which a member that does not poll is given up."""
    drain: float = 1.0
    """Seconds of `drain` for a listener that takes too long."""
    cannot: Mapping[str, str] = field(default_factory=dict)
    """Tests that are left out, with what the technology, which is not the driver, is missing."""


Starter = Callable[[Path], AbstractAsyncContextManager[Rig]]


def fresh(name: str) -> str:
    """A name that nobody else has, on whatever is shared with earlier runs."""
    return f"{name}.{secrets.token_hex(6)}"


def record(topic: str, key: str | bytes = b"key", value: bytes | None = b"value", **fields: object) -> Record:
    """A record with an id of its own."""
    number = next(_NUMBERS)
    given: dict[str, object] = {"headers": (), "timestamp": 1_790_000_000_000 + number, "id": f"evt_{number:020}"}
    return Record(topic, key.encode() if isinstance(key, str) else key, value, **{**given, **fields})  # type: ignore[arg-type] # fields by name


def numbered(topic: str, numbers: Sequence[int], keys: int = 7) -> list[Record]:
    """Records whose values are these numbers, over so many keys."""
    return [record(topic, f"key-{number % keys}", b"%d" % number) for number in numbers]
