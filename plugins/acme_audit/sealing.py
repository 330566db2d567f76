"""How the archive seals records: with the same keys as the log, so that both hold the same bytes of what is personal, and
the erasure of a subject reaches both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from acme import Event, Resources
from acme.contracts.audit.v1 import AuditRecord
from acme_audit.keys import SubjectKeys, seal, subject_of
from acme_audit.store import SubjectStore


async def sealed(resources: Resources[Any], events: Sequence[Event[AuditRecord]]) -> list[AuditRecord]:
    """What is archived in place of these events: their records with ciphertext for an address. The same for the same record
    until its subject is erased; from then on without any."""
    records = [event.message for event in events]
    keys = await SubjectKeys(SubjectStore(resources.database), resources.cipher, resources.clock).needed(
        subject_of(record) for record in records if record.address
    )
    return [
        replace(record, address=seal(keys.get(subject_of(record)), record.id, "address", record.address))
        for record in records
    ]
