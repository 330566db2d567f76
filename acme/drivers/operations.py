"""How long databases take, by OpenTelemetry's conventions for their clients, whatever the database is.

Names of operations and errors are few and ours: a label never holds what somebody sent or was sent.
"""

from __future__ import annotations

from typing import Final

from acme.telemetry import Histogram, Metrics

_LABELS: Final = ("db_system_name", "db_namespace", "db_operation_name", "error_type")


class Operations:
    """Durations of one database's, in seconds, as whoever asked sees it. Cancelled ones have no end of their own."""

    def __init__(self, metrics: Metrics, system: str, namespace: str) -> None:
        """`system` is the database's kind, such as "postgresql"; `namespace` which of its databases it is."""
        self._system, self._namespace = system, namespace
        self._durations = metrics.histogram(
            "db_client_operation_duration_seconds",
            "Duration of statements and commands, as whoever sent them sees it.",
            _LABELS,
        )

    def bind(self, operation: str, error: str = "") -> Histogram:
        """The series of an operation, such as "SELECT" or "GET", that ended in this error, "" for none."""
        return self._durations.bind(self._system, self._namespace, operation, error)
