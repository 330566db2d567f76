"""`kafka://` and `kafkas://` (TLS): the event bus on Apache Kafka, over aiokafka 0.14. aiokafka's only home.

    kafka://one:9092,two:9092                  kafkas://b-1.example:9098,b-2.example:9098 with AWS_MSK_IAM

- `cluster.py`: where the brokers are and how to log in; how Kafka's errors become ours; what readiness says.
- `topics.py`: topics as they are declared, and as they are found.
- `producer.py`: appending. Idempotent and acknowledged by all replicas; a producer that failed is thrown away.
- `subscription.py`: a member of a consumer group, in `turns.py`'s terms: what a rebalance asks of its user.
- `reader.py`: reading without a group, and what groups have committed.
- `bus.py`: the port, put together from these.
- `seams.py`: all that is reached of aiokafka beneath its documented surface, each with its reason.
- `iam.py`: tokens of AWS IAM, for MSK.

What it promises beyond the port: order per key is that of `append`, for Kafka's idempotent producer numbers batches and no
batch overtakes an unacknowledged one; duplicates come from appends that are repeated after an error, and only from them.
Kafka's transactions are not used: aiokafka sends no generation with offsets in a transaction (its issue 844), so a member
that has been replaced would not be fenced. Consumers remember event ids instead (`acme/bus/consumer.py`).
"""

from __future__ import annotations

from ssl import SSLContext
from typing import Any

from acme.drivers.kafka.bus import KafkaBus
from acme.drivers.kafka.cluster import Cluster
from acme.tasks import Tasks
from acme.telemetry import Metrics


def open_bus(
    url: str,
    *,
    tasks: Tasks,
    metrics: Metrics,
    tls: SSLContext | None = None,
    mechanism: str = "",
    user: str = "",
    password: str = "",
    region: str = "",
    timeout: float = 10.0,
    session: float = 10.0,
    **_others: Any,
) -> KafkaBus:
    """A bus on the cluster that `url` names. Nothing is connected yet.

    `tls`: for `kafkas://`, Python's defaults when left out. `mechanism`: "" for none, "PLAIN", "SCRAM-SHA-256",
    "SCRAM-SHA-512" (with `user` and `password`), or "AWS_MSK_IAM" (with `region`; the account comes from where AWS's
    libraries look). `timeout`: seconds that anything may take. `session`: seconds after which a member of a group that
    does not answer has lost its partitions (the broker's `group.min.session.timeout.ms` is the least).

    Raises:
        ValueError: the URL, or what goes with it, makes no sense; nothing secret is in the text.
    """
    cluster = Cluster.of(
        url, tls=tls, mechanism=mechanism, user=user, password=password, region=region, timeout=timeout
    )
    return KafkaBus(cluster, tasks, metrics, session=session)
