"""The embedded log: `ports.Bus` with Kafka's semantics over a PostgreSQL database of its own.

    bus = drivers.open_bus("log:", database="postgresql://acme@/bus?host=…", clock=clock, tasks=tasks, metrics=metrics)

What an append does, in one statement and one commit (`schema.py`, function `append`): it notes the ids of the records, or
finds that some are there already; draws offsets from the rows of the partitions, in one order for everybody; writes one row
for all records of a partition (`batches.py`); notifies. A partition's row is held until the commit, so offsets have no gaps
and whoever sees an offset has seen, or can see, all before it: no reader ever waits for a number that comes later, as behind
a sequence. `store.py` has the statements, `bus.py` the port, `link.py` the connections and deadlines.

Readers ask for the batches after their positions when they are notified (`listening.py`), or after a while. A consumer
group is rows too: `membership.py` says how partitions pass from hand to hand, `assignment.py` who gets which,
`subscription.py` reads them. `retention.py` drops what is old.
"""

from __future__ import annotations

from typing import Any

from acme.drivers.log.bus import Log
from acme.drivers.log.link import LIMIT, Link
from acme.drivers.log.membership import LEASE
from acme.ports import Clock
from acme.tasks import Tasks
from acme.telemetry import Metrics


def open_bus(
    url: str,
    *,
    clock: Clock,
    tasks: Tasks,
    metrics: Metrics,
    database: str = "",
    connections: int = 4,
    timeout: float = LIMIT,
    lease: float = LEASE,
    **_others: Any,
) -> Log:
    """The log in the database at `url`, or for `log:` at `database`. It is made when it is first used.

    `tasks` must outlive the log; it uses up to `connections` connections and one more that listens; `timeout` is seconds for
    one operation, `lease` those that a member of a group is one without a sign of life, or without `poll`.

    Raises:
        ValueError: `log:` without a database.
    """
    if url.partition(":")[0] == "log":
        if not database:
            raise ValueError("log: needs the URL of a database")
        url = database
    link = Link(url, connections=connections, limit=timeout, tasks=tasks, metrics=metrics)
    return Log(link, lease=lease, clock=clock, tasks=tasks, metrics=metrics)
