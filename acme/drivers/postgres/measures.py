"""What is measured of databases, by OpenTelemetry's conventions for database clients: statements, and pools.

A statement is told apart by its operation, such as "SELECT", and by nothing of its text: series are bounded however many
statements there are. Cancelled ones are not measured, since they have no end of their own.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from acme.drivers.operations import Operations
from acme.telemetry import Histogram, Metrics

SYSTEM: Final = "postgresql"
_KNOWN: Final = 2000
"""Statements whose operation is remembered. Ours are constants; filters of lists make a few more."""
_OPERATIONS: Final = re.compile(
    "SELECT|INSERT|UPDATE|DELETE|MERGE|BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE|SET|SHOW|CREATE|ALTER|DROP|LOCK|COPY|NOTIFY|"
    "LISTEN|UNLISTEN|ANALYZE|VACUUM|TRUNCATE|CALL|DO|EXPLAIN|GRANT|REVOKE"
)
_NOISE: Final = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_WORD: Final = re.compile(r"[A-Za-z]+")
_MAIN: Final = re.compile(r"^\)?[ \t]*(INSERT|UPDATE|DELETE|MERGE)\b", re.MULTILINE)
"""Where a WITH query first says what it changes: at the beginning of a line, as all of ours do."""
_TABLE: Final = re.compile(r"\b(?:FROM|INTO|UPDATE|JOIN)\s+(?:ONLY\s+)?([a-z_][\w.]*)")


class State(NamedTuple):
    """How a pool is at the moment."""

    used: int
    """Connections that are lent, or being opened or cleaned."""
    idle: int
    most: int
    waiting: int
    """Who waits for one."""


def summary(sql: str) -> str:
    """What a statement does, in a few words: its operation and its first table, such as "SELECT projects"."""
    verb, text = _told(sql)
    table = _TABLE.search(text)
    return f"{verb} {table[1]}" if table is not None else verb


def operation(sql: str) -> str:
    """The SQL command, upper-case; of a WITH query the first that changes anything. What is not SQL is "_OTHER"."""
    return _told(sql)[0]


def _told(sql: str) -> tuple[str, str]:
    """The operation, and the statement from there on."""
    text = _NOISE.sub(" ", sql).strip()
    first = _WORD.match(text)
    word = first[0].upper() if first is not None else ""
    if word == "WITH":
        main = _MAIN.search(text)
        word, text = (main[1], text[main.start() :]) if main is not None else ("SELECT", text)
    return (word, text) if _OPERATIONS.fullmatch(word) else ("_OTHER", text)


class Pooled:
    """What is measured of one pool, until `end`."""

    def __init__(self, metrics: Metrics, name: str, read: Callable[[], State]) -> None:
        """`name` is the pool's in metrics: that of its database."""
        self.name: Final = name
        self._durations = Operations(metrics, SYSTEM, name)
        pool = ("db_client_connection_pool_name",)
        self.waited: Final = (
            metrics.histogram(
                "db_client_connection_wait_time_seconds",
                "Seconds that those waited who found no connection free.",
                pool,
            )
            .bind(name)
            .observe
        )
        self.connected: Final = (
            metrics.histogram("db_client_connection_create_time_seconds", "Seconds it took to open a connection.", pool)
            .bind(name)
            .observe
        )
        count = metrics.readers(
            "db_client_connection_count",
            "Connections of a pool, by what they do.",
            (*pool, "db_client_connection_state"),
        )
        most = metrics.readers("db_client_connection_max", "Connections that a pool opens at most.", pool)
        pending = metrics.readers(
            "db_client_connection_pending_requests", "Who waits for a connection at the moment.", pool
        )
        self._leave: Final = (
            count.add(lambda: {(name, "used"): float(read().used), (name, "idle"): float(read().idle)}),
            most.add(lambda: {(name,): float(read().most)}),
            pending.add(lambda: {(name,): float(read().waiting)}),
        )
        self._ended = False
        self._known: dict[str, Callable[[float], None]] = {}

    def observer(self, sql: str) -> Callable[[float], None]:
        """What takes the seconds of a statement that succeeded."""
        known = self._known.get(sql)
        if known is None:
            known = self._bind(sql, "").observe
            if len(self._known) < _KNOWN:
                self._known[sql] = known
        return known

    def failed(self, sql: str, error: str, seconds: float) -> None:
        """A statement ended in an error: its SQLSTATE, or the name of its class."""
        self._bind(sql, error).observe(seconds)

    def _bind(self, sql: str, error: str) -> Histogram:
        return self._durations.bind(operation(sql), error)

    def end(self) -> None:
        """The pool is closed."""
        if not self._ended:
            self._ended = True
            for leave in self._leave:
                leave()
