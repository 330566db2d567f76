"""Lists of audit records through their contract."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from acme.contracts.audit.v1 import (
    Actor,
    AppendAuditRecordsRequest,
    AuditIntakeStub,
    AuditStub,
    KeptAuditRecord,
    ListAuditRecordsRequest,
    Outcome,
    Target,
)
from acme.errors import Denied, Invalid, Malformed, NotFound, Unauthenticated
from acme.testing import Platform, User
from tests.audits import Rig

pytestmark = pytest.mark.every_placement


async def listed(audit: AuditStub, organization: str, **wanted: Any) -> list[KeptAuditRecord]:
    """All pages of a list."""
    found: list[KeptAuditRecord] = []
    token = ""
    while True:
        request = ListAuditRecordsRequest(organization_id=organization, page_token=token, **wanted)
        reply = await audit.list_audit_records(request)
        found += reply.records
        token = reply.next_page_token
        if not token:
            return found


def sequences(records: list[KeptAuditRecord]) -> list[int]:
    return [kept.sequence for kept in records]


async def test_a_record_is_shown_as_it_was_written(audit: AuditStub, ada: User, log: Rig) -> None:
    written = log.record(organization_id=ada.organization)
    await log.ingest(written)
    (kept,) = await listed(audit, ada.organization)
    assert (kept.sequence, kept.record) == (0, written)
    assert written.id in kept.canonical
    assert written.address not in kept.canonical
    assert len(kept.leaf_hash) == 64
    assert kept.recorded_at is not None


async def test_records_come_newest_first_in_pages_that_hold_each_once(audit: AuditStub, ada: User, log: Rig) -> None:
    await log.grow(7, organization_id=ada.organization)
    for size in (1, 3, 7, 100):
        assert sequences(await listed(audit, ada.organization, page_size=size)) == list(range(7))[::-1]


async def test_a_page_goes_on_where_the_last_one_ended_whatever_came_since(
    audit: AuditStub, ada: User, log: Rig
) -> None:
    await log.grow(4, organization_id=ada.organization)
    first = await audit.list_audit_records(ListAuditRecordsRequest(organization_id=ada.organization, page_size=2))
    await log.grow(3, organization_id=ada.organization)
    rest = await audit.list_audit_records(
        ListAuditRecordsRequest(organization_id=ada.organization, page_size=2, page_token=first.next_page_token)
    )
    assert sequences(first.records) + sequences(rest.records) == [3, 2, 1, 0]


async def test_filters_leave_what_was_asked_for(audit: AuditStub, ada: User, log: Rig) -> None:
    organization, start = ada.organization, log.clock.now()
    makes: list[dict[str, Any]] = [
        {"actor": Actor(kind="user", id="usr_1")},
        {"action": "acme.users.v1.Teams/DeleteTeam"},
        {"outcome": Outcome.DENIED, "reason": "permission_denied"},
        {"targets": [Target(kind="prj", id="prj_a"), Target(kind="usr", id="usr_b")]},
        {"occurred_at": start - timedelta(days=2)},
        {"occurred_at": start + timedelta(days=2)},
    ]
    await log.ingest(*(log.record(organization_id=organization, **said) for said in makes))
    wanted: list[tuple[dict[str, Any], list[int]]] = [
        ({"actor_id": "usr_1"}, [0]),
        ({"action": "acme.users.v1.Teams/DeleteTeam"}, [1]),
        ({"outcome": Outcome.DENIED}, [2]),
        ({"target_id": "prj_a"}, [3]),
        ({"target_id": "usr_b"}, [3]),
        ({"until": start - timedelta(days=1)}, [4]),
        ({"from_": start + timedelta(days=1)}, [5]),
        ({"from_": start - timedelta(days=3), "until": start - timedelta(days=2)}, []),
        ({"from_": start - timedelta(days=2), "until": start - timedelta(days=1)}, [4]),
        ({"actor_id": "usr_1", "outcome": Outcome.DENIED}, []),
        ({"outcome": Outcome(70000)}, []),
        ({"action": "acme.users.v1.Teams"}, []),
    ]
    for said, numbers in wanted:
        assert sequences(await listed(audit, organization, page_size=1, **said)) == numbers, said


async def test_records_of_others_are_not_in_the_list(audit: AuditStub, ada: User, log: Rig, platform: Platform) -> None:
    other = platform.somebody()
    await log.grow(2, organization_id=other.organization)
    await log.grow(1, organization_id="")
    assert await listed(audit, ada.organization) == []
    with pytest.raises(NotFound):
        await listed(audit, other.organization)


async def test_only_administrators_read_the_log(platform: Platform, ada: User, bob: User) -> None:
    request = ListAuditRecordsRequest(organization_id=ada.organization)
    with pytest.raises(Denied):
        await platform.stub(AuditStub, as_=bob).list_audit_records(request)
    with pytest.raises(Unauthenticated):
        await platform.stub(AuditStub).list_audit_records(request)


async def test_a_page_token_of_another_list_is_refused(audit: AuditStub, ada: User, log: Rig) -> None:
    await log.grow(2, organization_id=ada.organization)
    first = await audit.list_audit_records(ListAuditRecordsRequest(organization_id=ada.organization, page_size=1))
    other = ListAuditRecordsRequest(organization_id=ada.organization, action="other", page_token=first.next_page_token)
    with pytest.raises(Malformed):
        await audit.list_audit_records(other)


async def test_a_negative_page_size_is_refused(audit: AuditStub, ada: User) -> None:
    with pytest.raises(Invalid):
        await audit.list_audit_records(ListAuditRecordsRequest(organization_id=ada.organization, page_size=-1))


async def test_the_address_is_gone_once_its_subject_is_erased(audit: AuditStub, ada: User, log: Rig) -> None:
    record = log.record(organization_id=ada.organization, subject_id=ada.id)
    kept = log.record(organization_id=ada.organization, subject_id="usr_somebody_else")
    await log.ingest(record, kept)
    await log.erase(ada.id)
    found = {each.record.id: each.record.address for each in await listed(audit, ada.organization) if each.record}
    assert found == {record.id: "", kept.id: "192.0.2.1"}


async def test_what_the_gateway_hands_over_is_announced(platform: Platform, log: Rig) -> None:
    intake = platform.stub(AuditIntakeStub, as_service="gateway")
    records = [log.record(), log.record(organization_id="", actor=Actor(kind="anonymous"), outcome=Outcome.DENIED)]
    await intake.append_audit_records(AppendAuditRecordsRequest(records=records))
    announced = {record.id: record for record in (await platform.audited("audit"))[0]}
    assert [announced.get(record.id) for record in records] == records


async def test_nobody_else_hands_records_over(platform: Platform, log: Rig) -> None:
    intake = platform.stub(AuditIntakeStub, as_service="projects")
    with pytest.raises(Denied):
        await intake.append_audit_records(AppendAuditRecordsRequest(records=[log.record()]))
