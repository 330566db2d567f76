"""Events between services: from the row that a unit of work leaves in its outbox to every consumer's effect.

    unit of work → acme.outbox → relay → bus → consumer: inbox row and effect in one transaction

- `relay.py` takes what the units of work of one service have left in its outbox to the bus, in order for each aggregate.
- `record.py` is what an event looks like on the bus: Kafka's record with CloudEvents' headers.
- `outbox.py` keeps the outbox small: its SQL, and the ranges of ids that it is partitioned into.
- `consumer.py` lets a plugin's consumer (`acme.Consumer`) hear events: inbox row and effect in one unit of work.
  `decoding.py` reads records, `partition.py` works through one partition, `group.py` is the member of the group on the bus,
  `consumers.py` all of a plugin's, with `measures.py` for operators.
- `inbox.py` remembers what was heard, and what cannot be handled; `dead_letters.py` and `replay.py` are the way back.
- `archiving.py` and `archiver.py` keep topics for good (`acme.Archive`).

Delivery is at least once everywhere; effects on our databases happen once, because the event's id is noted in the same
transaction. Nothing here trusts a lease or a clock for that: leases save work, and two relays, or two owners of a partition,
are as right as one.

The bus itself is a port (`acme/ports/bus.py`): a log in PostgreSQL, or Kafka. This package sees no driver; `runtime` opens
it and wires the rest.
"""
