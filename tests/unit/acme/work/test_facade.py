"""The words of a plugin author, and where each may be said."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from acme import Conflict, NotFound, audit, authorise, deliver, events, mail, work
from acme.contracts.audit.v1 import Category, Outcome
from acme.contracts.projects.v1 import (
    CreateProjectRequest,
    GetProjectRequest,
    Project,
    ProjectCreated,
    ProjectPurged,
    ProjectsStub,
)
from acme.contracts.users.v1 import CreateUserReply, UsersStub
from acme.errors import Refused
from acme.ports import Mail
from tests.services import INSERT, PROJECT, SIGN_UP, Stage, calling


async def said_inside(stage: Stage, method: str, say: Any) -> list[str]:
    """What `say` raised inside a NONE, AUTO or MANUAL handler."""
    raised: list[str] = []

    async def script(message: Any) -> Any:
        try:
            await say()
        except RuntimeError as error:
            raised.append(str(error))
        if method == "manual":
            return CreateUserReply()
        authorise.own("projects.read")
        return Project()

    stage.projects.script = stage.users.script = script
    with calling():
        if method == "none":
            await stage.client(ProjectsStub).get_project(GetProjectRequest(id=PROJECT))
        elif method == "auto":
            await stage.client(ProjectsStub).create_project(CreateProjectRequest(name="a"))
        else:
            await stage.client(UsersStub).create_user(SIGN_UP)
    return raised


async def open_work() -> None:
    async with work():
        pass


async def add_event() -> None:
    events.add(ProjectCreated(project_id="prj_1"))


async def add_mail() -> None:
    mail.add(to="ann@example.com", subject="s", text="t")


async def add_delivery() -> None:
    deliver("ping", b"")


async def nested() -> None:
    async with work(), work():
        pass


WORDS = [open_work, add_event, add_mail, add_delivery]


@pytest.mark.parametrize("say", WORDS)
async def test_a_method_that_only_reads_cannot_write(stage: Stage, say: Any) -> None:
    assert await said_inside(stage, "none", say) == ["a method that is declared WORK_NONE writes nothing"]


@pytest.mark.parametrize("say", WORDS)
async def test_outside_of_any_service_there_is_nothing_to_write_to(say: Any) -> None:
    with pytest.raises(RuntimeError, match="there is no unit of work here"):
        await say()


async def test_an_auto_method_is_one_unit_already(stage: Stage) -> None:
    (text,) = await said_inside(stage, "auto", open_work)
    assert "WORK_AUTO" in text


@pytest.mark.parametrize("say", WORDS[1:])
async def test_a_manual_method_writes_inside_its_units_only(stage: Stage, say: Any) -> None:
    assert await said_inside(stage, "manual", say) == ["put it into a unit of work: `async with work():`"]


async def test_a_unit_cannot_be_opened_inside_another(stage: Stage) -> None:
    (text,) = await said_inside(stage, "manual", nested)
    assert "inside another" in text


async def test_nothing_follows_the_last_unit_of_a_call(stage: Stage) -> None:
    async def say() -> None:
        async with work(last=True):
            await stage.units.database.execute(INSERT, "one")
        await stage.units.database.execute(INSERT, "two")

    (text,) = await said_inside(stage, "manual", say)
    assert "work(last=True) is the last" in text
    assert [row["id"] for row in await stage.sql("SELECT id FROM things")] == ["one"]


async def test_nothing_can_be_announced_after_the_last_unit(stage: Stage) -> None:
    async def say() -> None:
        async with work(last=True):
            pass
        await add_event()

    (text,) = await said_inside(stage, "manual", say)
    assert "work(last=True) is the last" in text


async def test_the_last_unit_commits_when_the_handler_returns(stage: Stage) -> None:
    seen = []

    async def say() -> None:
        async with work(last=True):
            await stage.units.database.execute(INSERT, "one")
        seen.append((await stage.counts())[0])

    await said_inside(stage, "manual", say)
    assert (seen, (await stage.counts())[0]) == ([0], 1)


async def test_other_units_commit_where_they_end(stage: Stage) -> None:
    with stage.units.outside():
        async with work():
            await stage.units.database.execute(INSERT, "one")
            events.add(ProjectCreated(project_id="prj_1"))
        assert (await stage.counts())[:2] == (1, 1)
        async with work(last=True):
            await stage.units.database.execute(INSERT, "two")
        assert (await stage.counts())[0] == 2
        await stage.units.database.execute(INSERT, "alone")
    assert (await stage.counts())[0] == 3


@pytest.mark.parametrize(
    ("error", "kept"), [(NotFound("None."), 0), (ValueError(), 0), (Conflict("c", commit=True), 1)]
)
async def test_a_block_that_raises_rolls_back_unless_the_refusal_commits(
    stage: Stage, error: Exception, kept: int
) -> None:
    async def block() -> None:
        async with work():
            await stage.units.database.execute(INSERT, "one")
            raise error

    with stage.units.outside():
        with pytest.raises(type(error)):
            await block()
        assert (await stage.counts())[0] == kept
        await stage.units.database.execute(INSERT, "alone")


async def test_statements_between_units_stand_alone(stage: Stage) -> None:
    async def script(message: Any) -> CreateUserReply:
        await stage.units.database.execute(INSERT, "alone")
        async with work():
            await stage.units.database.execute(INSERT, "rolled back")
            raise NotFound("None.")

    stage.users.script = script
    with calling(), pytest.raises(Refused):
        await stage.client(UsersStub).create_user(SIGN_UP)
    assert [row["id"] for row in await stage.sql("SELECT id FROM things")] == ["alone"]


async def test_a_mail_becomes_a_sealed_delivery_with_its_own_id(stage: Stage) -> None:
    with stage.units.outside():
        async with work():
            mail.add(to="ann@example.com", subject="Hello", text="Click.", links=["https://a.example/x"])
    (row,) = await stage.sql("SELECT id, kind, payload FROM acme.deliveries")
    plain = stage.cipher.open("deliveries", row["payload"], row["id"].encode())
    wanted = Mail(row["id"], "ann@example.com", "Hello", "Click.", ("https://a.example/x",))
    assert (row["kind"], msgspec.json.decode(plain, type=Mail)) == ("mail", wanted)
    assert row["id"].startswith("dlv_")


# --- audit records ---------------------------------------------------------------------------------------------------


async def test_a_job_records_what_it_does_with_the_events_of_its_unit(stage: Stage) -> None:
    with stage.units.outside():
        async with work():
            audit.add("things.purge", organization="org_ann", targets=["prj_1", "prj_1"], changes=["gone"])
            events.add(ProjectCreated(project_id="prj_1"))
    [record] = await stage.records()
    assert record.actor is not None
    assert (record.action, record.category, record.outcome) == ("things.purge", Category.SYSTEM, Outcome.OK)
    assert (record.actor.kind, record.actor.id, record.organization_id) == ("service", "things", "org_ann")
    assert ([target.id for target in record.targets], record.changes, len(record.event_ids)) == (["prj_1"], ["gone"], 1)


async def test_records_of_one_unit_name_their_own_events_and_none_of_another_organisation(stage: Stage) -> None:
    with stage.units.outside():
        async with work():
            for organization, project in (("org_ann", "prj_1"), ("org_bob", "prj_2"), ("org_bob", "prj_3")):
                events.add(ProjectPurged(project_id=project, organization_id=organization))
                audit.add("things.purge", organization=organization, targets=[project])
            audit.add("things.clean", organization="org_bob")
            events.add(ProjectPurged(project_id="prj_4", organization_id="org_bob"))
            events.add(ProjectPurged(project_id="prj_5", organization_id="org_cy"))
    rows = await stage.sql("SELECT event_id, key FROM acme.outbox WHERE topic <> 'acme.audit.log'")
    aggregates = {row["event_id"]: row["key"].partition(":")[2] for row in rows}
    named = [[aggregates[event] for event in record.event_ids] for record in await stage.records()]
    assert named == [
        ["prj_1", "prj_5"],
        ["prj_2", "prj_4", "prj_5"],
        ["prj_3", "prj_4", "prj_5"],
        ["prj_4", "prj_5"],
    ]


async def test_what_an_operator_does_names_the_operator(stage: Stage) -> None:
    with stage.units.outside():
        async with work():
            audit.add("events.dlq.discard", operator="root", outcome=Outcome.REFUSED, reason="nothing_there")
    [record] = await stage.records()
    assert record.actor is not None
    assert (record.actor.kind, record.actor.id, record.category) == ("operator", "root", Category.OPERATOR)
    assert (record.outcome, record.reason) == (Outcome.REFUSED, "nothing_there")


async def test_a_job_that_rolls_back_records_nothing(stage: Stage) -> None:
    async def job() -> None:
        async with work():
            audit.add("things.purge")
            raise Conflict("Not now.")

    with stage.units.outside(), pytest.raises(Conflict):
        await job()
    assert await stage.records() == []


async def test_the_words_for_calls_are_refused_outside_of_calls(stage: Stage) -> None:
    with pytest.raises(LookupError):
        audit.about(target="prj_1")
    with stage.units.outside():
        with pytest.raises(RuntimeError, match="async with work"):
            audit.add("things.purge")
        async with work():
            with pytest.raises(RuntimeError, match=r"audit\.add"):
                audit.done()


async def test_a_call_may_record_something_besides_its_own(stage: Stage) -> None:
    async def script(message: Any) -> Project:
        authorise("projects.create", organization="org_ann")
        audit.add("things.quota.raised", organization="org_ann")
        return Project(id=PROJECT)

    stage.projects.script = script
    await stage.create()
    assert [record.action.rpartition("/")[2] for record in await stage.records()] == [
        "things.quota.raised",
        "CreateProject",
    ]
