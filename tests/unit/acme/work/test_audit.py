"""Audit records: when one is written, in which transaction, and what it says."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from acme import audit, authorise, events, new_id, work
from acme.context import ANONYMOUS, Decision, Kind, Membership
from acme.contract import Audit
from acme.contracts.audit.v1 import Actor, AuditRecord, Category, Outcome, Target
from acme.contracts.google.protobuf import FieldMask
from acme.contracts.projects.v1 import (
    CreateProjectRequest,
    GetProjectRequest,
    Project,
    ProjectCreated,
    ProjectsStub,
    UpdateProjectRequest,
)
from acme.contracts.users.v1 import CreateUserReply
from acme.dispatch import Directory, Host
from acme.errors import Conflict, Denied, NotFound, Refused, Unauthenticated, Unavailable
from acme.ports import SerializationFailure
from acme.work.audit import Trail, Writer, denies, trace_id, trail_of
from tests.services import ANN, CONTRACTS, INSERT, PROJECT, Projects, Stage, calling

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
UPDATE = next(m for m in CONTRACTS.services["acme.projects.v1.Projects"].methods if m.name == "UpdateProject")
GET = next(m for m in CONTRACTS.services["acme.projects.v1.Projects"].methods if m.name == "GetProject")


async def outcomes(stage: Stage) -> list[Outcome]:
    return [record.outcome for record in await stage.records()]


def does(stage: Stage, *, error: Exception | None = None, **about: Any) -> None:
    """Lets the AUTO method write a thing and an event; then it raises, if that is given."""

    async def script(message: CreateProjectRequest) -> Project:
        authorise("projects.create", organization="org_ann")
        await stage.units.database.execute(INSERT, new_id("thing", stage.clock))
        events.add(ProjectCreated(project_id=PROJECT))
        if about:
            audit.about(**about)
        if error is not None:
            raise error
        return Project(id=PROJECT, name=message.name)

    stage.projects.script = script


async def test_a_success_leaves_one_record_with_all_that_is_known(stage: Stage) -> None:
    does(stage)
    with calling() as call:
        call.traceparent = TRACE
        await stage.client(ProjectsStub).create_project(CreateProjectRequest(name="Apollo"))
    [record] = await stage.records()
    [event] = await stage.sql("SELECT event_id, headers FROM acme.outbox WHERE topic <> 'acme.audit.log'")
    assert record.id.startswith("aud_")
    assert record == AuditRecord(
        id=record.id,
        organization_id="org_ann",
        region="local",
        occurred_at=record.occurred_at,
        action="acme.projects.v1.Projects/CreateProject",
        category=Category.WRITE,
        outcome=Outcome.OK,
        actor=Actor(kind="user", id="usr_ann", service="gateway"),
        decisions=record.decisions,
        targets=[Target(kind="prj", id=PROJECT)],
        address="192.0.2.1",
        request_id="req_1",
        trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
        service="things",
        event_ids=[event["event_id"]],
        subject_id="usr_ann",
    )
    assert [(d.permission, d.resource, d.role, d.granted) for d in record.decisions] == [
        ("projects.create", "org_ann", "owner", True)
    ]


async def test_a_record_and_its_effect_are_there_together_or_not_at_all(stage: Stage) -> None:
    does(stage, error=Conflict("Not now."))
    with pytest.raises(Conflict):
        await stage.create()
    assert (await stage.counts(), await stage.records()) == ((0, 0, 0, 0), [])


async def test_a_refusal_that_commits_leaves_a_record_of_the_refusal(stage: Stage) -> None:
    does(stage, error=Unauthenticated("No.", reason="used_twice", commit=True))
    with pytest.raises(Unauthenticated):
        await stage.create()
    [record] = await stage.records()
    assert (record.outcome, record.reason, await stage.counts()) == (Outcome.REFUSED, "used_twice", (1, 1, 0, 0))


async def test_a_denial_leaves_a_record_and_nothing_else(stage: Stage) -> None:
    does(stage, error=Denied("Not you.", reason="permission_denied"))
    with pytest.raises(Denied):
        await stage.create()
    [record] = await stage.records()
    assert (record.outcome, record.reason, await stage.counts()) == (Outcome.DENIED, "permission_denied", (0, 0, 0, 0))
    assert record.event_ids == []


@pytest.mark.parametrize(("granted", "left"), [(False, [Outcome.DENIED]), (True, [])])
async def test_not_found_is_a_denial_where_authorise_said_no(stage: Stage, granted: bool, left: list[Outcome]) -> None:
    async def script(message: Any) -> Project:
        authorise.scope("projects.create")
        authorise.decided("projects.create", PROJECT, granted=granted)
        raise NotFound("None.")

    stage.projects.script = script
    with pytest.raises(NotFound):
        await stage.create()
    assert await outcomes(stage) == left


async def test_a_repetition_from_what_was_stored_leaves_no_second_record(stage: Stage) -> None:
    does(stage)
    for _ in range(3):
        await stage.create("key")
    assert await outcomes(stage) == [Outcome.OK]


async def test_a_stored_refusal_that_is_repeated_leaves_no_second_record(stage: Stage) -> None:
    does(stage, error=Denied("Wrong.", reason="wrong", commit=True))
    for _ in range(3):
        with pytest.raises(Denied):
            await stage.create("key")
    assert await outcomes(stage) == [Outcome.REFUSED]


async def test_an_attempt_that_failed_to_serialize_leaves_no_record_of_its_own(stage: Stage) -> None:
    attempts: list[str] = []

    async def script(message: Any) -> Project:
        authorise("projects.create", organization="org_ann")
        audit.about(changes=[f"attempt {len(attempts)}"])
        attempts.append(message.name)
        if len(attempts) < 3:
            raise SerializationFailure
        return Project(id=PROJECT)

    stage.projects.script = script
    await stage.create()
    [record] = await stage.records()
    assert (record.changes, len(record.decisions)) == (["attempt 2"], 1)


# --- MANUAL -----------------------------------------------------------------------------------------------------------


async def test_a_manual_method_has_its_record_in_its_last_unit(stage: Stage) -> None:
    stage.signs_up()
    await stage.sign_up()
    [record] = await stage.records()
    [row] = await stage.sql("SELECT count(DISTINCT xmin::text) AS n FROM acme.outbox")
    assert (record.outcome, len(record.event_ids), row["n"]) == (Outcome.OK, 1, 1)


async def test_a_manual_method_says_which_of_its_units_has_the_record(stage: Stage) -> None:
    async def script(message: Any) -> CreateUserReply:
        async with work():
            await stage.units.database.execute(INSERT, "before")
        async with work():
            await stage.units.database.execute(INSERT, "effect")
            events.add(ProjectCreated(project_id=PROJECT))
            audit.about(actor="usr_new", target="ses_new")
            audit.done()
        assert await outcomes(stage) == [Outcome.OK]
        async with work():
            await stage.units.database.execute(INSERT, "after")
        return CreateUserReply()

    stage.users.script = script
    await stage.sign_up()
    [record] = await stage.records()
    assert record.actor is not None
    assert (record.actor.id, [target.id for target in record.targets], len(record.event_ids)) == (
        "usr_new",
        ["ses_new"],
        1,
    )


async def test_what_a_unit_that_rolls_back_would_have_said_is_said_by_the_next(stage: Stage) -> None:
    async def script(message: Any) -> CreateUserReply:
        for number in range(2):
            try:
                async with work():
                    await stage.units.database.execute(INSERT, f"attempt {number}")
                    audit.done()
                    if number == 0:
                        raise Unavailable("Lost.")
            except Unavailable:
                pass
        return CreateUserReply()

    stage.users.script = script
    await stage.sign_up()
    assert await outcomes(stage) == [Outcome.OK]


async def test_a_refusal_that_commits_in_a_unit_of_a_manual_method_has_its_record_there(stage: Stage) -> None:
    async def script(message: Any) -> CreateUserReply:
        async with work():
            await stage.units.database.execute(INSERT, "counted")
            raise Denied("Wrong.", reason="wrong", commit=True)

    stage.users.script = script
    with pytest.raises(Denied):
        await stage.sign_up()
    [record] = await stage.records()
    assert (record.outcome, record.reason, await stage.counts()) == (Outcome.REFUSED, "wrong", (1, 0, 0, 0))


async def test_a_manual_method_without_any_unit_leaves_its_record_all_the_same(stage: Stage) -> None:
    async def script(message: Any) -> CreateUserReply:
        return CreateUserReply()

    stage.users.script = script
    await stage.sign_up()
    assert await outcomes(stage) == [Outcome.OK]


# --- NONE -------------------------------------------------------------------------------------------------------------


async def get(stage: Stage) -> Project:
    with calling():
        return await stage.client(ProjectsStub).get_project(GetProjectRequest(id=PROJECT))


def looks(stage: Stage, error: Exception | None = None) -> None:
    async def script(message: Any) -> Project:
        authorise("projects.read", organization="org_ann")
        if error is not None:
            raise error
        return Project(id=PROJECT)

    stage.projects.script = script


async def test_a_look_leaves_nothing(stage: Stage) -> None:
    looks(stage)
    await get(stage)
    assert await stage.records() == []


async def test_a_look_that_is_denied_leaves_a_record(stage: Stage) -> None:
    looks(stage, Denied("Not you."))
    with pytest.raises(Denied):
        await get(stage)
    [record] = await stage.records()
    assert (record.outcome, record.category) == (Outcome.DENIED, Category.READ)
    assert [target.id for target in record.targets] == [PROJECT]


@pytest.mark.parametrize(("reads", "none", "left"), [(True, "", [Outcome.OK]), (False, "somebody else's", [])])
async def test_a_contract_may_ask_for_a_record_of_every_look_or_for_none_at_all(
    stage: Stage, reads: bool, none: str, left: list[Outcome]
) -> None:
    looks(stage, None if reads else Denied("Not you."))
    service = CONTRACTS.services["acme.projects.v1.Projects"]
    methods = tuple(
        replace(m, audit=Audit(reads=reads, none=none)) if m.name == "GetProject" else m for m in service.methods
    )
    directory = Directory(stage.pipeline)
    directory.host(Host(replace(service, methods=methods), stage.projects, "things", stage.units), "local")
    with calling():
        client = directory.named("gateway").client(ProjectsStub)
        with suppress(Denied):
            await client.get_project(GetProjectRequest(id=PROJECT))
    assert await outcomes(stage) == left


# --- what it says -----------------------------------------------------------------------------------------------------


async def test_what_the_handler_knows_goes_before_what_is_derived(stage: Stage) -> None:
    does(stage, organization="org_other", target="prj_other", actor="sva_robot", subject="usr_bob", changes=["name"])
    await stage.create()
    [record] = await stage.records()
    assert record.actor is not None
    assert (record.organization_id, record.actor.kind, record.actor.id) == ("org_other", "service_account", "sva_robot")
    assert ([target.id for target in record.targets], record.changes) == (["prj_other", PROJECT], ["name"])
    assert record.subject_id == "usr_bob"


def entry_of(message: Any, principal: Any = ANN, method: Any = UPDATE, **noted: Any) -> Any:
    with calling(principal) as call:
        call.noted = noted.get("noted", ())
        return Trail(method).entry(call, message)


def record_of(stage: Stage, entry: Any) -> AuditRecord:
    found: AuditRecord = entry.record(Writer("things", "1.2.3", "eu-west", stage.clock), Outcome.DENIED, "no", ())
    return found


async def test_changes_are_the_names_in_the_mask_that_are_fields_and_nothing_else(stage: Stage) -> None:
    mask = FieldMask(paths=["name", "ann@example.com", "labels", "name"])
    record = record_of(stage, entry_of(UpdateProjectRequest(id=PROJECT, name="secret plan", update_mask=mask)))
    assert record.changes == ["name", "labels"]
    assert "secret plan" not in repr(record)


async def test_who_names_an_organisation_of_others_is_recorded_in_a_log_of_its_own(stage: Stage) -> None:
    noted = (Decision("projects.update", "org_foreign", "", False),)
    assert record_of(stage, entry_of(UpdateProjectRequest(id=PROJECT), noted=noted)).organization_id == "org_ann"
    service = replace(ANN, kind=Kind.SERVICE, id="users", organization="", memberships={})
    assert record_of(stage, entry_of(UpdateProjectRequest(), service, noted=noted)).organization_id == "org_foreign"


async def test_an_organisation_that_the_caller_belongs_to_is_the_one_that_was_decided_on(stage: Stage) -> None:
    ann = replace(ANN, memberships={**ANN.memberships, "org_b": Membership("guest")})
    noted = (Decision("projects.update", "org_b", "guest", False),)
    assert record_of(stage, entry_of(UpdateProjectRequest(id=PROJECT), ann, noted=noted)).organization_id == "org_b"


async def test_nobody_has_no_organisation_and_is_no_subject(stage: Stage) -> None:
    record = record_of(stage, entry_of(UpdateProjectRequest(id="not an id"), ANONYMOUS))
    assert record.actor is not None
    assert (record.organization_id, record.subject_id, record.actor.kind, record.targets) == ("", "", "anonymous", [])
    assert (record.region, record.service_version) == ("eu-west", "1.2.3")


async def test_equal_decisions_are_said_once(stage: Stage) -> None:
    noted = (Decision("projects.update", PROJECT, "owner", True),) * 3
    assert len(record_of(stage, entry_of(UpdateProjectRequest(), noted=noted)).decisions) == 1


def test_a_target_that_is_no_field_is_an_error_at_the_start() -> None:
    for wrong in ("project", "reply.nothing", "name.first"):
        with pytest.raises(ValueError, match="is no field"):
            Trail(replace(UPDATE, audit=Audit(targets=(wrong,))))


def test_a_method_whose_contract_says_why_leaves_no_trail() -> None:
    assert trail_of(replace(GET, audit=Audit(none="the caller leaves one"))) is None


@pytest.mark.parametrize(
    ("refusal", "noted", "denied"),
    [
        (Denied("."), (), True),
        (NotFound("."), (), False),
        (NotFound("."), (Decision("a.b", "", "own", True),), False),
        (NotFound("."), (Decision("a.b", "", "own", True), Decision("a.c", "org_1", "", False)), True),
        (Conflict("."), (Decision("a.b", "", "", False),), False),
        (Unauthenticated("."), (Decision("a.b", "", "", False),), True),
    ],
)
def test_a_denial_is_a_matter_of_who_asks(refusal: Refused, noted: tuple[object, ...], denied: bool) -> None:
    with calling() as call:
        call.noted = noted
        assert denies(call, refusal) is denied


def test_the_trace_id_is_read_off_a_traceparent() -> None:
    assert (trace_id(TRACE), trace_id(""), trace_id("00-trace")) == (TRACE.split("-")[1], "", "")


async def test_a_service_without_a_database_leaves_no_records(stage: Stage) -> None:
    projects = Projects()

    async def script(message: Any) -> Project:
        raise Denied("Not you.")

    projects.script = script
    directory = Directory(stage.pipeline)
    directory.host(Host(CONTRACTS.service_of(projects), projects, "things", None), "local")
    with calling(), pytest.raises(Denied):
        await directory.named("gateway").client(ProjectsStub).get_project(GetProjectRequest(id=PROJECT))
    assert await stage.records() == []
