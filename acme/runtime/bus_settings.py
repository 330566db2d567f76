"""Settings of the event bus: `[bus]` and `[bus.topics."NAME"]`."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from acme.ports import Topic


class TopicSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[bus.topics."NAME"]`: what differs for one topic."""

    partitions: Annotated[int, msgspec.Meta(ge=1, le=1000)] | None = None
    """Logs that the topic is made of; how many consumers of a group can share it. Not changed once there are events."""
    retention: Annotated[float, msgspec.Meta(ge=0)] | None = None
    """Seconds that events are kept at least; 0 for ever."""
    compact: bool = False
    """Whether older events of an aggregate may go for newer ones (Kafka's cleanup.policy=compact)."""
    replication: Annotated[int, msgspec.Meta(ge=1, le=10)] | None = None
    """Copies, where there are brokers."""


LONGER: Final = {"acme.audit.log": 30 * 86_400.0}
"""Seconds that a topic is kept at least where nothing is said of it. The audit log stays longer than others: an archiver
that stands still for two weeks loses nothing."""


class BusSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[bus]`: how events get from one service to the others."""

    url: Annotated[str, msgspec.Meta(pattern="^(log:|outbox:|postgres(ql)?://.+|kafkas?://.+)$")] = "log:"
    """`log:`, a log in a database of its own beside the plugins'; `postgresql://…`, in that database; `kafka://host:9092,…`
    (3.6 or newer), `kafkas://` with TLS; `outbox:` leaves events where they are committed, and nobody hears them."""
    timeout: Annotated[float, msgspec.Meta(gt=0, le=300)] = 10.0
    """Seconds the bus may take to answer."""
    connections: Annotated[int, msgspec.Meta(ge=2, le=100)] = 4
    """Most connections to the log in PostgreSQL, beside the one that listens."""
    partitions: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 12
    """Logs that each topic is made of, where `topics` says nothing else."""
    retention: Annotated[float, msgspec.Meta(ge=0)] = 7 * 86_400.0
    """Seconds that events are kept at least, where `topics` says nothing else; 0 for ever."""
    replication: Annotated[int, msgspec.Meta(ge=1, le=10)] = 3
    """Copies of each topic where there are brokers and `topics` says nothing else."""
    topics: dict[str, TopicSettings] = {}
    """By the topic's name. acme.audit.log is kept for 30 days at least, unless this says otherwise."""
    mechanism: Literal["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "AWS_MSK_IAM"] = ""
    """How this process proves to Kafka who it is; empty: not at all, or by its certificate."""
    user: str = ""
    """For PLAIN and SCRAM."""
    password: str = ""
    """For PLAIN and SCRAM."""
    aws_region: str = ""
    """For AWS_MSK_IAM: the region of the brokers; the credentials are the process's own."""
    authority: str = ""
    """PEM file of the authorities that signed the brokers' certificates; empty: the system's."""
    certificate: str = ""
    """PEM file with which this process proves itself, where brokers ask for it."""
    key: str = ""
    """PEM file of the certificate's private key."""

    def __repr__(self) -> str:
        return f"BusSettings({self.url.partition(':')[0]}:, password={'set' if self.password else 'empty'})"

    def topic(self, name: str) -> Topic:
        """How a topic is to be."""
        own = self.topics.get(name, TopicSettings())
        retention = own.retention
        if retention is None:
            retention = max(self.retention, LONGER.get(name, 0.0)) if self.retention else 0.0
        return Topic(
            name,
            partitions=self.partitions if own.partitions is None else own.partitions,
            retention=retention,
            compact=own.compact,
            replication=self.replication if own.replication is None else own.replication,
        )
