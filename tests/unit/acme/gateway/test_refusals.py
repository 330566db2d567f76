"""What the gateway refuses, on its way to the audit log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from acme.contracts.audit.v1 import (
    AppendAuditRecordsReply,
    AppendAuditRecordsRequest,
    AuditIntakeBase,
    AuditRecord,
    Category,
    Outcome,
)
from acme.dispatch import Host
from acme.errors import Invalid, Refused
from acme.gateway.refusals import WINDOW, Refusals
from acme.gateway.settings import ClassSettings, LimitSettings
from tests.unit.acme.gateway.rig import CONTRACTS, ID, Rig, running
from tests.waiting import sample

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@dataclass
class Intake(AuditIntakeBase):
    """An audit service that keeps in memory what it gets, each id once."""

    kept: dict[str, AuditRecord] = field(default_factory=dict)
    calls: int = 0
    refuse: Refused | None = None

    async def append_audit_records(self, message: AppendAuditRecordsRequest) -> AppendAuditRecordsReply:
        self.calls += 1
        if self.refuse is not None:
            raise self.refuse
        self.kept |= {record.id: record for record in message.records}
        return AppendAuditRecordsReply()

    @property
    def records(self) -> list[AuditRecord]:
        return list(self.kept.values())


@dataclass
class Desk:
    """A gateway that hands its refusals over to `intake`, once that is there."""

    rig: Rig
    folder: Path
    refusals: Refusals
    intake: Intake = field(default_factory=Intake)

    def open(self) -> None:
        """From now on the audit service can be reached."""
        self.rig.gateway._served._directory.host(Host(CONTRACTS.service_of(self.intake), self.intake, "audit"))  # type: ignore[attr-defined]  # the rig's is one that hosts

    async def minute(self) -> list[AuditRecord]:
        """A minute later."""
        self.rig.authority.clock.advance(WINDOW + 1)
        await self.refusals.turn()
        return self.intake.records


def refusals(rig: Rig, folder: Path, **changed: Any) -> Refusals:
    made = Refusals(
        rig.gateway._served._directory,
        CONTRACTS,
        rig.authority.clock,
        rig.metrics,
        folder,
        version="1.2.3",
        region="eu-west",
        **changed,
    )
    rig.gateway._answers._refusals = made
    return made


@asynccontextmanager
async def desk(
    folder: Path, *, opened: bool = True, keys: int = 1000, limit: int = 2**20, **settings: Any
) -> AsyncIterator[Desk]:
    async with running(**settings) as rig:
        made = Desk(rig, folder, refusals(rig, folder, keys=keys, limit=limit))
        if opened:
            made.open()
        try:
            yield made
        finally:
            await made.refusals.close()


async def test_a_missing_token_is_recorded_with_where_it_was_missing(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        (await it.rig.ask("GET", f"/v1/projects/{ID}", bearer=None, traceparent=TRACE)).problem(401, "token_missing")
        [record] = await it.minute()
    assert record.actor is not None
    assert (record.action, record.category, record.outcome, record.reason) == (
        "acme.projects.v1.Projects/GetProject",
        Category.READ,
        Outcome.DENIED,
        "token_missing",
    )
    assert (record.actor.kind, record.actor.id, record.actor.service) == ("anonymous", "", "gateway")
    assert (record.address, record.count, record.organization_id, record.region) == ("127.0.0.1", 1, "", "eu-west")
    assert (record.service, record.service_version, record.trace_id) == ("gateway", "1.2.3", TRACE.split("-")[1])
    assert record.request_id
    assert record.id.startswith("aud_")


async def test_refusals_alike_are_one_record_with_their_number_and_the_time_of_the_last(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        began = it.rig.authority.clock.now()
        for _ in range(5):
            (await it.rig.ask("GET", f"/v1/projects/{ID}", bearer="nonsense")).problem(401, "invalid_token")
            it.rig.authority.clock.advance(2)
        (await it.rig.ask("POST", f"/v1/projects/{ID}:archive", {}, bearer="nonsense")).problem(401, "invalid_token")
        await it.refusals.turn()
        assert it.intake.records == []  # the minute is not over
        records = await it.minute()
    assert [(record.action.rpartition("/")[2], record.count) for record in records] == [
        ("GetProject", 5),
        ("ArchiveProject", 1),
    ]
    assert (records[0].occurred_at, records[0].last_at) == (began, began.replace(second=8))


async def test_the_next_minute_is_another_record(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        for _ in range(2):
            await it.rig.ask("GET", f"/v1/projects/{ID}", bearer=None)
            records = await it.minute()
    assert [record.count for record in records] == [1, 1]


async def test_too_small_a_scope_is_recorded_with_whose_token_it_is(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        token = it.rig.authority.token(scope="projects.read")
        (await it.rig.ask("POST", "/v1/projects", {"name": "a"}, bearer=token)).problem(403, "insufficient_scope")
        [record] = await it.minute()
    claims = it.rig.authority.claims()
    assert record.actor is not None
    assert (record.actor.kind, record.actor.id, record.actor.session_id) == ("user", claims["sub"], claims["sid"])
    assert (record.organization_id, record.subject_id) == (claims["org"], claims["sub"])
    assert [(d.permission, d.granted) for d in record.decisions] == [("projects.create", False)]
    assert (record.category, record.reason) == (Category.WRITE, "insufficient_scope")


async def test_a_used_up_limit_is_recorded_by_principal_and_by_address(tmp_path: Path) -> None:
    little = ClassSettings(rate=1, burst=1, address_rate=1, address_burst=3)
    async with desk(tmp_path, limits=LimitSettings(default=little, credentials=little)) as it:
        answers = [(await it.rig.ask("GET", f"/v1/projects/{ID}")).status for _ in range(5)]
        assert answers == [200, 429, 429, 429, 429]
        records = await it.minute()
    assert [(record.reason, record.count, record.actor.kind if record.actor else "") for record in records] == [
        ("rate_limited", 2, "user"),
        ("rate_limited", 2, "anonymous"),
    ]


async def test_what_a_method_refuses_is_not_the_gateways(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        body = {"email": "ann@example.com", "password": "wrong"}
        (await it.rig.ask("POST", "/v1/sessions", body, bearer=None)).problem(401, "invalid_credentials")
        (await it.rig.ask("GET", "/v1/projects/nothing")).problem(422, "invalid_argument")
        (await it.rig.ask("GET", "/v1/nowhere")).problem(404, "route_not_found")
        assert await it.minute() == []


async def test_a_flood_of_strangers_is_counted_without_names(tmp_path: Path) -> None:
    async with desk(tmp_path, keys=4) as it:
        for path in (f"/v1/projects/{ID}", "/v1/projects", f"/v1/projects/{ID}", f"/v1/projects/{ID}/settings"):
            await it.rig.ask("GET", path, bearer=None)
        for name in ("archive", "unarchive"):
            await it.rig.ask("POST", f"/v1/projects/{ID}:{name}", {}, bearer=None)
        records = await it.minute()
    assert [(record.action.rpartition("/")[2], record.count) for record in records][:2] == [
        ("GetProject", 2),
        ("ListProjects", 1),
    ]
    [others] = records[2:]
    assert (others.action, others.address, others.reason, others.count) == ("others", "", "token", 3)


async def test_a_flood_of_strangers_does_not_hide_what_the_known_are_refused(tmp_path: Path) -> None:
    async with desk(tmp_path, keys=4) as it:
        for _ in range(2):
            it.intake.kept.clear()
            for name in ("archive", "unarchive"):
                await it.rig.ask("POST", f"/v1/projects/{ID}:{name}", {}, bearer=None)
            for path in ("/v1/projects", f"/v1/projects/{ID}"):
                (await it.rig.ask("GET", path, bearer=None)).problem(401, "token_missing")
            token = it.rig.authority.token(scope="projects.read")
            (await it.rig.ask("POST", "/v1/projects", {"name": "a"}, bearer=token)).problem(403, "insufficient_scope")
            records = await it.minute()
            named = [record.action.rpartition("/")[2] for record in records if record.actor and record.actor.id]
            assert named == ["CreateProject"]


async def test_records_wait_for_the_audit_service_and_arrive_once(tmp_path: Path) -> None:
    async with desk(tmp_path, opened=False) as it:
        await it.rig.ask("GET", f"/v1/projects/{ID}", bearer=None)
        assert await it.minute() == []
        assert sample(it.rig.metrics, "acme_audit_spool_pending") == 1
        it.open()
        it.refusals._next = 0.0  # as if the pause after a failure were over
        assert len(await it.minute()) == 1
        assert sample(it.rig.metrics, "acme_audit_spool_pending") == 0
        await it.minute()
        assert it.intake.calls == 1


async def test_what_one_process_counted_the_next_hands_over(tmp_path: Path) -> None:
    async with desk(tmp_path, opened=False) as it:
        await it.rig.ask("GET", f"/v1/projects/{ID}", bearer=None)
        await it.rig.ask("GET", f"/v1/projects/{ID}", bearer=None)
        await it.refusals.turn()
        # A process that is killed lets go of its lock, and does nothing else.
        assert it.refusals._spool is not None
        it.refusals._spool.close()
        it.refusals._spool = None
        it.refusals._counted.clear()
        it.open()
        it.refusals = refusals(it.rig, it.folder)
        assert [record.count for record in await it.minute()] == [2]


async def test_the_end_of_a_process_hands_over_what_is_not_a_minute_old(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        await it.rig.ask("GET", f"/v1/projects/{ID}", bearer=None)
    assert len(it.intake.records) == 1


async def test_a_full_spool_raises_the_alarm(tmp_path: Path) -> None:
    async with desk(tmp_path, opened=False, limit=100) as it:
        await it.rig.ask("GET", f"/v1/projects/{ID}", bearer=None)
        with structlog.testing.capture_logs() as logs:
            await it.minute()
        assert sample(it.rig.metrics, "acme_audit_spool_dropped_total") == 1
    assert [line["event"] for line in logs if line["log_level"] == "error"] == [
        "the spool of the audit log is full: records are lost"
    ]


async def test_a_spool_that_cannot_be_written_raises_the_alarm(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    async with desk(tmp_path / "file" / "below") as it:
        await it.rig.ask("GET", f"/v1/projects/{ID}", bearer=None)
        with structlog.testing.capture_logs() as logs:
            await it.minute()
        assert sample(it.rig.metrics, "acme_audit_spool_dropped_total") == 1
        assert [line["log_level"] for line in logs] == ["error"]


async def test_records_that_nobody_will_ever_take_do_not_block_those_behind(tmp_path: Path) -> None:
    async with desk(tmp_path) as it:
        await it.rig.ask("GET", f"/v1/projects/{ID}", bearer=None)
        it.intake.refuse = Invalid("No.")
        await it.minute()
        assert sample(it.rig.metrics, "acme_audit_spool_dropped_total") == 1
        it.intake.refuse = None
        await it.rig.ask("GET", f"/v1/projects/{ID}", bearer=None)
        assert len(await it.minute()) == 1
