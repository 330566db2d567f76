"""What the service shows of records that were tampered with. All else is in tests/contract/audit."""

from __future__ import annotations

from dataclasses import replace

import pytest
from acme_audit.keys import SubjectKeys
from acme_audit.service import Audit
from acme_audit.store import RecordStore, SubjectStore

from acme.context import Membership
from acme.contracts.audit.v1 import KeptAuditRecord, ListAuditRecordsRequest
from acme.testing.people import somebody
from tests.audits import Rig
from tests.services import calling


@pytest.fixture
async def shown(rig: Rig, change: str) -> list[KeptAuditRecord]:
    """Three records, the second of which was changed."""
    ada = somebody(rig.clock)
    await rig.grow(3, organization_id=ada.organization)
    log = f"{rig.region}/{ada.organization}"
    await rig.alter("records", f"canonical = convert_to({change}, 'UTF8')", "sequence = 1", log=log)
    keys = SubjectKeys(SubjectStore(rig.database), rig.cipher, rig.clock)
    records = RecordStore(rig.database)
    audit = Audit(rig.logs, records, rig.signed, keys, rig.checkpoints, rig.resources.pages, rig.region)
    memberships = {ada.organization: Membership("owner", frozenset({"audit.read"}))}
    with calling(replace(ada.principal, memberships=memberships)):
        reply = await audit.list_audit_records(ListAuditRecordsRequest(organization_id=ada.organization))
    return reply.records


@pytest.mark.parametrize("change", ["replace(convert_from(canonical, 'UTF8'), 'siv1:', 'siv1:A')"])
async def test_an_address_that_was_altered_is_left_out(shown: list[KeptAuditRecord]) -> None:
    addresses = [kept.record.address if kept.record is not None else None for kept in shown]
    assert addresses == ["192.0.2.1", "", "192.0.2.1"]


@pytest.mark.parametrize("change", ["'no record'"])
async def test_bytes_that_are_no_record_are_shown_as_they_are(shown: list[KeptAuditRecord]) -> None:
    assert [kept.record is None for kept in shown] == [False, True, False]
    assert (shown[1].sequence, shown[1].canonical) == (1, "no record")
