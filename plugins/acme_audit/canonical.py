"""A record as the bytes that are hashed and kept: JSON by RFC 8785, of the contract's own fields.

Beside them stand the record's place: `log`, `sequence`, and `previous`, the leaf hash of the record before it, so that each
record vouches for all before it. Fields at their default are left out, times have microseconds, enums are their names, and
the address is ciphertext (`keys.py`): what was hashed never has to be changed.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import rfc8785

from acme.contracts.audit.v1 import Actor, AuditRecord, Category, Decision, Outcome, Target

PLACE: Final = ("log", "sequence", "previous", "recorded_at")
"""What canonical bytes say beside the record."""
FIRST: Final = bytes(32)
"""What the first record of a log has as the hash of the one before."""

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""What a record without a time has."""

_CATEGORIES: Final = {category: "CATEGORY_" + str(category.name) for category in Category}
_OUTCOMES: Final = {outcome: "OUTCOME_" + str(outcome.name) for outcome in Outcome}


class Actors(msgspec.Struct, frozen=True):
    """`Actor`, as it is kept."""

    kind: str = ""
    id: str = ""
    session_id: str = ""
    service: str = ""


class Decided(msgspec.Struct, frozen=True):
    """`Decision`, as it is kept."""

    permission: str = ""
    resource: str = ""
    role: str = ""
    granted: bool = False


class Aim(msgspec.Struct, frozen=True):
    """`Target`, as it is kept."""

    kind: str = ""
    id: str = ""


class Kept(msgspec.Struct, frozen=True):
    """What canonical bytes say."""

    id: str
    log: str
    sequence: int
    previous: str
    recorded_at: datetime
    occurred_at: datetime
    organization_id: str = ""
    region: str = ""
    action: str = ""
    category: str = "CATEGORY_UNSPECIFIED"
    outcome: str = "OUTCOME_UNSPECIFIED"
    reason: str = ""
    actor: Actors = Actors()
    decisions: tuple[Decided, ...] = ()
    targets: tuple[Aim, ...] = ()
    changes: tuple[str, ...] = ()
    address: str = ""
    request_id: str = ""
    trace_id: str = ""
    service: str = ""
    service_version: str = ""
    event_ids: tuple[str, ...] = ()
    count: int = 0
    last_at: datetime | None = None
    subject_id: str = ""


_DECODER: Final = msgspec.json.Decoder(Kept)


def canonical(
    record: AuditRecord, *, log: str, sequence: int, previous: bytes, recorded_at: datetime, address: str
) -> bytes:
    """The bytes of a record in its place; `address` is what stands for the record's own.

    Raises:
        ValueError: a number beyond 2^53, or text that is no Unicode.
    """
    said = content(record, address)
    said |= {"log": log, "sequence": sequence, "previous": previous.hex(), "recorded_at": moment(recorded_at)}
    return rfc8785.dumps(said)


def content(record: AuditRecord, address: str) -> dict[str, Any]:
    """What a record says, wherever it stands."""
    actor, occurred_at, last_at = record.actor or Actor(), record.occurred_at, record.last_at
    said = {
        "organization_id": record.organization_id,
        "region": record.region,
        "occurred_at": moment(occurred_at or EPOCH),
        "action": record.action,
        "category": _CATEGORIES[record.category],
        "outcome": _OUTCOMES[record.outcome],
        "reason": record.reason,
        "actor": _full(kind=actor.kind, id=actor.id, session_id=actor.session_id, service=actor.service),
        "decisions": [
            _full(permission=each.permission, resource=each.resource, role=each.role, granted=each.granted)
            for each in record.decisions
        ],
        "targets": [_full(kind=each.kind, id=each.id) for each in record.targets],
        "changes": record.changes,
        "address": address,
        "request_id": record.request_id,
        "trace_id": record.trace_id,
        "service": record.service,
        "service_version": record.service_version,
        "event_ids": record.event_ids,
        "count": record.count,
        "last_at": moment(last_at) if last_at is not None else "",
        "subject_id": record.subject_id,
    }
    return {**_full(**said), "id": record.id}


def read(content: bytes) -> Kept:
    """What canonical bytes say.

    Raises:
        ValueError: they are none.
    """
    return _DECODER.decode(content)


def record_of(kept: Kept, address: str) -> AuditRecord:
    """The record that canonical bytes hold, with its address as `address`."""
    return AuditRecord(
        id=kept.id,
        organization_id=kept.organization_id,
        region=kept.region,
        occurred_at=kept.occurred_at,
        action=kept.action,
        category=Category[kept.category.removeprefix("CATEGORY_")],
        outcome=Outcome[kept.outcome.removeprefix("OUTCOME_")],
        reason=kept.reason,
        actor=Actor(**msgspec.structs.asdict(kept.actor)),
        decisions=[Decision(**msgspec.structs.asdict(each)) for each in kept.decisions],
        targets=[Target(**msgspec.structs.asdict(each)) for each in kept.targets],
        changes=list(kept.changes),
        address=address,
        request_id=kept.request_id,
        trace_id=kept.trace_id,
        service=kept.service,
        service_version=kept.service_version,
        event_ids=list(kept.event_ids),
        count=kept.count,
        last_at=kept.last_at,
        subject_id=kept.subject_id,
    )


def moment(at: datetime) -> str:
    """RFC 3339, UTC, always with six digits of a second."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _full(**said: Any) -> dict[str, Any]:
    return {name: value for name, value in said.items() if value}
