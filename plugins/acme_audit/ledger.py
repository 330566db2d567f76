"""Appends records: the consumer `log` on acme.audit.log.

A batch takes five statements, whatever its size: the heads of its logs are locked (in the order of their names, so that two
batches never wait for each other), keys are read, and records, nodes and heads are written. A record that is there already,
by its id, is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from acme import Clock, Event, Resources
from acme.contracts.audit.v1 import AuditRecord
from acme_audit.canonical import EPOCH, canonical
from acme_audit.keys import SubjectKeys, seal, subject_of
from acme_audit.store import Head, LogStore, SubjectStore, WitnessStore, Written
from acme_audit.store.logs import key
from acme_audit.tree import Node, leaf_hash

STRIDE: Final = 4
"""Every so many levels the nodes of a tree are kept."""
NOBODYS: Final = "platform"
"""Stands in a log's name for what belongs to no organisation."""


def log_name(region: str, organization: str) -> str:
    """What a log is called."""
    return f"{region}/{organization or NOBODYS}"


class Ledger:
    """Logs that grow."""

    def __init__(
        self, logs: LogStore, keys: SubjectKeys, witnesses: WitnessStore, clock: Clock, *, region: str
    ) -> None:
        self._logs, self._keys, self._witnesses, self._clock, self._region = logs, keys, witnesses, clock, region

    async def append(self, records: Sequence[AuditRecord]) -> None:
        """Appends records, in their order, each to its log; inside a unit of work."""
        names = {record.id: log_name(record.region or self._region, record.organization_id) for record in records}
        heads = await self._logs.lock(sorted(set(names.values())))
        known = await self._logs.known(list(names))
        new = {record.id: record for record in records if record.id not in known}
        if not new:
            return
        keys = await self._keys.needed(subject_of(record) for record in new.values() if record.address)
        now = self._clock.now()
        trees = {name: head.tree() for name, head in heads.items()}
        written: list[Written] = []
        nodes: list[tuple[int, Node, bytes]] = []
        for record in new.values():
            name = names[record.id]
            head = heads[name]
            address = seal(keys.get(subject_of(record)), record.id, "address", record.address)
            content = canonical(
                record, log=name, sequence=head.size, previous=head.head, recorded_at=now, address=address
            )
            leaf = leaf_hash(content)
            written.append(_written(head, record, content, leaf))
            completed = trees[name].append(leaf)
            nodes += [(head.id, node, found) for node, found in completed if node.level % STRIDE == 0]
            heads[name] = replace(head, size=head.size + 1, head=leaf)
        grown = [replace(heads[name], frontier=trees[name].pack()) for name in {names[each] for each in new}]
        await self._logs.append(written, nodes, grown)
        await self._witnesses.named([event for record in new.values() for event in record.event_ids], at=now)


def _written(head: Head, record: AuditRecord, content: bytes, leaf: bytes) -> Written:
    return Written(
        log_id=head.id,
        sequence=head.size,
        id=record.id,
        canonical=content,
        leaf=leaf,
        occurred_at=record.occurred_at or EPOCH,
        actor_id=key(record.actor.id) if record.actor is not None else "",
        action=key(record.action),
        outcome=int(record.outcome),
        targets=tuple(key(target.id) for target in record.targets),
    )


async def ingest(resources: Resources[Any], heard: Sequence[Event[AuditRecord]]) -> None:
    """What the consumer does with a batch."""
    database, clock = resources.database, resources.clock
    keys = SubjectKeys(SubjectStore(database), resources.cipher, clock)
    ledger = Ledger(LogStore(database), keys, WitnessStore(database), clock, region=resources.region)
    await ledger.append([event.message for event in heard])
