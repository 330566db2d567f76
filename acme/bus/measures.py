"""What consumers tell operators: OpenTelemetry's messaging metrics in Prometheus' spelling, and our own. One a process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from acme.telemetry import Metrics

LABELS: Final = (
    "messaging_system",
    "messaging_operation_name",
    "messaging_destination_name",
    "messaging_consumer_group_name",
    "error_type",
)
_GROUP: Final = ("messaging_consumer_group_name",)
_TOPIC: Final = (*_GROUP, "messaging_destination_name")


@dataclass(slots=True)
class Standing:
    """How a consumer stands in the partitions of one topic that this process reads."""

    messages: int = 0
    """Events behind the end."""
    seconds: float = 0.0
    """Age of the oldest event that is not heard."""
    stuck: int = 0
    """Partitions that have events, and have not moved on for too long."""


@dataclass(slots=True)
class Group:
    """What is read off a consumer when somebody asks."""

    standing: Callable[[], Mapping[str, Standing]] = dict
    """By topic."""
    letters: int | None = None
    """Dead letters, of all processes; None while that is not known."""
    topics: tuple[str, ...] = field(default=())


class Measures:
    """The metrics of all consumers of a process."""

    def __init__(self, metrics: Metrics, system: str = "acme") -> None:
        """`system` is what the bus is called in OpenTelemetry: "kafka", or "acme" for the log."""
        self._system = system
        self.groups: Final[dict[str, Group]] = {}
        self._processed = metrics.histogram(
            "messaging_process_duration_seconds", "Seconds to handle one event, or one batch.", LABELS
        )
        self._consumed = metrics.counter(
            "messaging_client_consumed_messages_total", "Records read from the bus.", LABELS
        )
        self._operations = metrics.histogram(
            "messaging_client_operation_duration_seconds", "Seconds the bus took to answer.", LABELS
        )
        self._repeated = metrics.counter(
            "acme_inbox_duplicates_total", "Events that were delivered again, and had no further effect.", _GROUP
        )
        metrics.gauge(
            "acme_consumer_lag_messages",
            "Events on the bus that a consumer has not heard.",
            _TOPIC,
            lambda: self._read(lambda standing: standing.messages),
        )
        metrics.gauge(
            "acme_consumer_lag_seconds",
            "Age of the oldest event that a consumer has not heard.",
            _TOPIC,
            lambda: self._read(lambda standing: standing.seconds),
        )
        metrics.gauge(
            "acme_consumer_stuck_partitions",
            "Partitions with events in which a consumer has not moved on for too long.",
            _TOPIC,
            lambda: self._read(lambda standing: standing.stuck),
        )
        metrics.gauge(
            "acme_dlq_depth",
            "Dead letters of a consumer, the same in every process.",
            _GROUP,
            lambda: {(name,): each.letters for name, each in self.groups.items() if each.letters is not None},
        )

    def processed(self, group: str, topic: str, error: str, seconds: float) -> None:
        """An attempt at handling has ended."""
        self._processed.bind(self._system, "process", topic, group, error).observe(seconds)

    def consumed(self, group: str, topic: str, count: int) -> None:
        """Records came."""
        self._consumed.bind(self._system, "poll", topic, group, "").add(count)

    def committed(self, group: str, error: str, seconds: float) -> None:
        """A commit of offsets has ended."""
        self._operations.bind(self._system, "commit", "", group, error).observe(seconds)

    def repeated(self, group: str, count: int) -> None:
        """Events that came were accounted for already."""
        self._repeated.bind(group).add(count)

    def _read(self, value: Callable[[Standing], float]) -> dict[tuple[str, ...], float]:
        return {
            (name, topic): value(standing)
            for name, group in self.groups.items()
            for topic, standing in group.standing().items()
        }
