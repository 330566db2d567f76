"""What is measured of calls: how long they took, by method and outcome, and how many are being served, by service."""

from __future__ import annotations

from typing import Final

from acme.telemetry import Metrics

DURATIONS: Final = "rpc_server_call_duration_seconds"
"""The histogram's name: labels are placement, method, status."""


class Active:
    """Calls of one service that are being served."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class Measures:
    """Of all calls of a Node."""

    def __init__(self, metrics: Metrics) -> None:
        self.durations: Final = metrics.histogram(
            DURATIONS,
            "Duration of calls, from request to reply.",
            ("rpc_system_name", "rpc_method", "rpc_response_status_code"),
        )
        self._active: dict[str, Active] = {}
        metrics.gauge(
            "rpc_server_active_calls",
            "Calls being served, from this process and from others.",
            ("rpc_service",),
            lambda: {(name,): float(active.count) for name, active in self._active.items()},
        )

    def active(self, service: str) -> Active:
        """The series of a service, by its full name."""
        return self._active.setdefault(service, Active())
