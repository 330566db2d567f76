"""The audit service: keeps the records of acme.audit.log so that nothing is lost, and nothing altered unseen.
Contract: `protos/acme/audit/v1/audit.proto`.

    ledger.py        appends: the consumer `log`           tree.py       Merkle trees by RFC 6962
    witness.py       events without a record               canonical.py  records as bytes, by RFC 8785
    checkpoints.py   signs, and writes to the archive      notes.py      signed notes by C2SP
    proofs.py        proofs from what is kept of a tree    keys.py       keys of people; erasure
    service.py       the contracts                         verify/       `acme audit verify`
    sealing.py       how the archive seals records         commands.py   what operators call
    store/           all the SQL                           migrations/   the tables, which refuse changes

A log is an organisation's, in one region; what belongs to no organisation has one in each region, too. Its records are
numbered without gaps. Each holds the hash of the one before it, and is a leaf of the log's tree, whose states are signed.
What is personal in a record is ciphertext in what was hashed: destroying a key changes no record, and breaks no proof.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from acme import Archive, Command, Consumer, Job, NoSettings, Plugin, Resources, logger
from acme.contracts.audit.v1 import AuditBase, AuditIntakeBase, AuditRecord
from acme_audit import commands, ledger, sealing, witness
from acme_audit.checkpoints import Checkpoints
from acme_audit.keys import SubjectKeys
from acme_audit.proofs import Proofs
from acme_audit.service import Audit, AuditIntake
from acme_audit.store import CheckpointStore, LogStore, RecordStore, SubjectStore, WitnessStore

log: Final = logger(__name__)


@asynccontextmanager
async def _service(resources: Resources[NoSettings]) -> AsyncIterator[Sequence[object]]:
    database = resources.database
    logs, records, signed = LogStore(database), RecordStore(database), CheckpointStore(database)
    keys = SubjectKeys(SubjectStore(database), resources.cipher, resources.clock)
    checkpoints = _checkpoints(resources)
    await checkpoints.first_key()
    yield (Audit(logs, records, signed, keys, checkpoints, resources.pages, resources.region), AuditIntake())


def _checkpoints(resources: Resources[Any]) -> Checkpoints:
    database = resources.database
    logs, records = LogStore(database), RecordStore(database)
    return Checkpoints(CheckpointStore(database), logs, Proofs(logs, records), resources.cipher, resources.clock)


async def _sign(resources: Resources[Any]) -> None:
    """Signs what is due, and archives it."""
    checkpoints = _checkpoints(resources)
    faults = await checkpoints.sign_due()
    if resources.archive is not None:
        faults += await checkpoints.archive(resources.archive)
    for fault in faults:
        log.error("an audit log contradicts what was signed: run `acme audit verify`", fault=fault)


async def _witness(resources: Resources[Any]) -> None:
    """Tells of events without a record."""
    count, first = await witness.count_lacking(WitnessStore(resources.database), resources.clock.now())
    if count:
        log.warning("events without an audit record", count=count, first=first)


plugin: Final = Plugin(
    name="audit",
    version="0.1.0",
    package=__name__,
    contracts=(AuditBase, AuditIntakeBase),
    service=_service,
    jobs=(Job("checkpoints", every=60, run=_sign), Job("witness", every=60, run=_witness)),
    consumers=(
        Consumer("log", (AuditRecord,), ledger.ingest, batch=200),
        Consumer("witness", witness.MESSAGES, witness.hear, batch=200),
    ),
    archives=(Archive(AuditRecord, sealing.sealed),),
    commands=(
        Command("verify", "Recomputes the audit log from the bytes that are kept.", commands.verify_command),
        Command("erase", "Destroys the key of a subject's personal data, for good.", commands.erase_command),
    ),
)
