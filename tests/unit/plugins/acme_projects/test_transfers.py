"""Races about a project: the test holds its lock until both sides wait for it."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Any

import pytest
from acme_projects.store import Offer, TransferStore
from acme_projects.transfers import STANDS

from acme.context import Membership
from acme.contracts.google.protobuf import FieldMask
from acme.contracts.projects.v1 import (
    AcceptProjectTransferRequest,
    CreateProjectRequest,
    GetProjectRequest,
    LeaveProjectRequest,
    Project,
    ProjectMembersStub,
    ProjectsStub,
    RemoveProjectMemberRequest,
    UpdateProjectRequest,
)
from acme.errors import Conflict, NotFound
from acme.ports import Connection
from acme.testing import Platform, User
from acme.testing.server import Server

ROUNDS = 20


def guest_of(platform: Platform, ada: User) -> User:
    """Somebody who belongs to ada's organisation, and reaches nothing there by that."""
    somebody = platform.somebody()
    memberships = {ada.organization: Membership("guest")}
    return dataclasses.replace(somebody, principal=dataclasses.replace(somebody.principal, memberships=memberships))


@pytest.fixture
async def connection(platform: Platform, postgres: Server) -> AsyncIterator[Connection]:
    database = platform.database("projects").rpartition("/")[2].partition("?")[0]
    async with postgres.connection(database) as opened:
        yield opened


async def waiting(connection: Connection, number: int) -> None:
    """Until so many others wait for a lock in this database."""
    asked = """
        SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock' AND cardinality(pg_blocking_pids(pid)) > 0
    """
    async with asyncio.timeout(10):
        while await connection.fetchval(asked) < number:
            await connection.execute("SELECT pg_stat_clear_snapshot()")


async def one_after_another(connection: Connection, project: Project, *calls: Awaitable[Any]) -> Sequence[Any]:
    """What the calls come to that wait for the project's lock in this order. The test has it until all of them do."""
    turns = [asyncio.Event() for _ in calls]

    async def turn(number: int, call: Awaitable[Any]) -> Any:
        await turns[number].wait()
        return await call

    async def hold() -> None:
        await connection.begin()
        await connection.fetchrow("SELECT FROM projects WHERE id = $1 FOR UPDATE", project.id)
        for number, begun in enumerate(turns, start=1):
            begun.set()
            await waiting(connection, number)
        await connection.commit()

    *replies, _ = await asyncio.gather(
        *(turn(number, call) for number, call in enumerate(calls)), hold(), return_exceptions=True
    )
    return replies


async def test_of_two_accepts_of_one_offer_one_wins(platform: Platform, connection: Connection) -> None:
    ada = platform.somebody()
    bob = guest_of(platform, ada)
    projects = platform.stub(ProjectsStub, as_=bob)
    for _ in range(ROUNDS):
        project = await platform.stub(ProjectsStub, as_=ada).create_project(CreateProjectRequest(name="A"))
        offer = Offer(ada.id, ada.id, bob.id, platform.clock.now() + STANDS)
        await TransferStore(connection).put(project, offer)
        request = AcceptProjectTransferRequest(id=project.id)
        won, lost = await one_after_another(
            connection,
            project,
            projects.accept_project_transfer(request),
            projects.accept_project_transfer(request),
        )
        assert isinstance(won, Project)
        assert (won.owner_id, won.version) == (bob.id, 2)
        assert isinstance(lost, Conflict)
        roles = await connection.fetch("SELECT subject_id, role FROM project_members WHERE project_id = $1", project.id)
        assert {(row[0], row[1]) for row in roles} == {(ada.id, "admin"), (bob.id, "owner")}


async def test_an_owner_who_hands_over_cannot_leave_at_the_same_time(
    platform: Platform, connection: Connection
) -> None:
    """And whoever is removed first changes nothing after it."""
    ada = platform.somebody()
    bob = guest_of(platform, ada)
    for _ in range(ROUNDS):
        project = await platform.stub(ProjectsStub, as_=ada).create_project(CreateProjectRequest(name="A"))
        await TransferStore(connection).put(project, Offer(ada.id, ada.id, bob.id, platform.clock.now() + STANDS))
        accepted, left = await one_after_another(
            connection,
            project,
            platform.stub(ProjectsStub, as_=bob).accept_project_transfer(AcceptProjectTransferRequest(id=project.id)),
            platform.stub(ProjectsStub, as_=ada).leave_project(LeaveProjectRequest(id=project.id)),
        )
        assert isinstance(accepted, Project)
        assert not isinstance(left, BaseException), "an admin by then, who may leave"
        owners = await connection.fetch(
            "SELECT subject_id FROM project_members WHERE project_id = $1 AND role = 'owner'", project.id
        )
        assert [row[0] for row in owners] == [bob.id]


async def test_who_is_removed_while_its_change_waits_changes_nothing(
    platform: Platform, connection: Connection
) -> None:
    ada = platform.somebody()
    bob = guest_of(platform, ada)
    for _ in range(ROUNDS):
        project = await platform.stub(ProjectsStub, as_=ada).create_project(CreateProjectRequest(name="A"))
        await connection.execute(
            "INSERT INTO project_members SELECT id, $2, organization_id, 'admin', created_at, 1 FROM projects WHERE id = $1",
            project.id,
            bob.id,
        )
        removed, changed = await one_after_another(
            connection,
            project,
            platform.stub(ProjectMembersStub, as_=ada).remove_project_member(
                RemoveProjectMemberRequest(project_id=project.id, subject_id=bob.id)
            ),
            platform.stub(ProjectsStub, as_=bob).update_project(
                UpdateProjectRequest(id=project.id, name="B", update_mask=FieldMask(paths=["name"]))
            ),
        )
        assert not isinstance(removed, BaseException)
        assert isinstance(changed, NotFound)
        assert await platform.stub(ProjectsStub, as_=ada).get_project(GetProjectRequest(id=project.id)) == project
