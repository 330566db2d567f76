"""The contracts `acme.audit.v1.Audit`, for the administrators of organisations, and `AuditIntake`, for the gateway."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from acme import NotFound, Pages, authorise, events, page_size
from acme.contracts.audit.v1 import (
    AppendAuditRecordsReply,
    AppendAuditRecordsRequest,
    AuditBase,
    AuditCheckpoint,
    AuditIntakeBase,
    ConsistencyProof,
    GetAuditCheckpointRequest,
    GetConsistencyProofRequest,
    GetInclusionProofRequest,
    InclusionProof,
    KeptAuditRecord,
    ListAuditRecordsReply,
    ListAuditRecordsRequest,
)
from acme_audit import canonical, notes
from acme_audit.checkpoints import Checkpoints
from acme_audit.keys import SubjectKeys, subject_of, unseal
from acme_audit.ledger import log_name
from acme_audit.proofs import Proofs
from acme_audit.store import CheckpointStore, Head, LogStore, RecordStore, Signed, Stored, Wanted
from acme_audit.tree import Span

READ: Final = "audit.read"
"""The permission."""


class Audit(AuditBase):
    """Keeps the contract `acme.audit.v1.Audit`."""

    def __init__(
        self,
        logs: LogStore,
        records: RecordStore,
        signed: CheckpointStore,
        keys: SubjectKeys,
        checkpoints: Checkpoints,
        pages: Pages,
        region: str,
    ) -> None:
        self._logs, self._records, self._signed = logs, records, signed
        self._keys, self._checkpoints, self._pages, self._region = keys, checkpoints, pages, region
        self._proofs = Proofs(logs, records)

    async def list_audit_records(self, message: ListAuditRecordsRequest) -> ListAuditRecordsReply:
        """Raises `NotFound` and `Denied` as `authorise` does, and `Malformed` for a page token of another list."""
        authorise(READ, organization=message.organization_id)
        size = page_size(message.page_size)
        query = [message.organization_id, message.actor_id, message.action, message.target_id, str(message.outcome)]
        query += [canonical.moment(at) if at is not None else "" for at in (message.from_, message.until)]
        wanted = Wanted(
            actor_id=message.actor_id,
            action=message.action,
            target_id=message.target_id,
            outcome=int(message.outcome),
            since=message.from_,
            until=message.until,
            before=self._pages.open(message.page_token, *query),
        )
        head = await self._logs.head(log_name(self._region, message.organization_id))
        if head is None:
            return ListAuditRecordsReply()
        found = await self._records.newest(head.id, wanted, limit=size + 1)
        more = len(found) > size
        return ListAuditRecordsReply(
            records=await self._shown(found[:size]),
            next_page_token=self._pages.seal(found[size - 1].sequence, *query) if more else "",
        )

    async def get_audit_checkpoint(self, message: GetAuditCheckpointRequest) -> AuditCheckpoint:
        """Raises `NotFound` and `Denied` as `authorise` does; `NotFound` while nothing is signed yet, too."""
        authorise(READ, organization=message.organization_id)
        head, signed = await self._last(message.organization_id)
        said = notes.read(signed.note)
        public = (await self._checkpoints.public_keys())[-1]
        return AuditCheckpoint(
            log=head.name,
            tree_size=signed.size,
            root_hash=said.root.hex(),
            note=signed.note,
            verifier_key=notes.verifier_key(head.name, public),
            signed_at=signed.signed_at,
            version=signed.number,
        )

    async def get_inclusion_proof(self, message: GetInclusionProofRequest) -> InclusionProof:
        """Raises `NotFound` and `Denied` as `authorise` does; `NotFound` where tree or record are not as large, too."""
        authorise(READ, organization=message.organization_id)
        head, size = await self._size(message.organization_id, message.tree_size)
        if message.sequence >= size:
            raise NotFound(f"The tree has {size} records, numbered from 0.", reason="no_such_record")
        proof = await self._proofs.inclusion(head.id, message.sequence, size)
        leaf, root = await self._proofs.hashes(head.id, [Span(message.sequence, message.sequence + 1), Span(0, size)])
        return InclusionProof(
            sequence=message.sequence,
            tree_size=size,
            leaf_hash=leaf.hex(),
            root_hash=root.hex(),
            hashes=[each.hex() for each in proof],
            version=size,
        )

    async def get_consistency_proof(self, message: GetConsistencyProofRequest) -> ConsistencyProof:
        """Raises `NotFound` and `Denied` as `authorise` does; `NotFound` where the log is not as large, too."""
        authorise(READ, organization=message.organization_id)
        head, size = await self._size(message.organization_id, message.second_size)
        if message.first_size > size:
            raise NotFound(f"The later tree has {size} records.", reason="no_such_tree")
        proof = await self._proofs.consistency(head.id, message.first_size, size) if message.first_size else []
        first, second = await self._proofs.hashes(head.id, [Span(0, message.first_size), Span(0, size)])
        return ConsistencyProof(
            first_size=message.first_size,
            second_size=size,
            first_root=first.hex(),
            second_root=second.hex(),
            hashes=[each.hex() for each in proof],
            version=size,
        )

    async def _size(self, organization: str, asked: int) -> tuple[Head, int]:
        """The log, and the size of a tree of it: the one that was asked for, or the newest checkpoint's."""
        if not asked:
            head, signed = await self._last(organization)
            asked = signed.size
        else:
            found = await self._logs.head(log_name(self._region, organization))
            if found is None or found.size < asked:
                raise NotFound("The log has fewer records.", reason="no_such_tree")
            head = found
        return head, asked

    async def _last(self, organization: str) -> tuple[Head, Signed]:
        head = await self._logs.head(log_name(self._region, organization))
        signed = await self._signed.one(head.id, head.signed) if head is not None else None
        if head is None or signed is None:
            raise NotFound("There is no checkpoint of this log yet: try again in a minute.", reason="no_checkpoint")
        return head, signed

    async def _shown(self, found: list[Stored]) -> list[KeptAuditRecord]:
        """Records with what is personal in them readable, as far as it is. One that was tampered with keeps none of the
        others from being shown: `acme audit verify` tells of it."""
        shown: list[KeptAuditRecord] = []
        for stored in found:
            text = stored.canonical.decode(errors="replace")
            kept = KeptAuditRecord(sequence=stored.sequence, leaf_hash=stored.leaf.hex(), canonical=text)
            with suppress(ValueError):
                said = canonical.read(stored.canonical)
                kept.record, kept.recorded_at = canonical.record_of(said, said.address), said.recorded_at
            shown.append(kept)
        sealed = [kept.record for kept in shown if kept.record is not None and kept.record.address]
        keys = await self._keys.known(subject_of(record) for record in sealed)
        for record in sealed:
            kept_address, record.address = record.address, ""
            with suppress(ValueError):
                record.address = unseal(keys.get(subject_of(record)), record.id, "address", kept_address)
        return shown


class AuditIntake(AuditIntakeBase):
    """Keeps the contract `acme.audit.v1.AuditIntake`."""

    async def append_audit_records(self, message: AppendAuditRecordsRequest) -> AppendAuditRecordsReply:
        """Announces the records: they come into the log by the bus, as all others do. One that is announced twice is kept
        once."""
        for record in message.records:
            events.add(record)
        return AppendAuditRecordsReply()
