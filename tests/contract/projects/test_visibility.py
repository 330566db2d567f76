"""A list holds exactly what can be read: for any people, teams, roles and tokens, page by page, searched or not."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import asyncpg
import pytest
from acme_projects import plugin as projects_plugin
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acme.context import Kind, Membership, Principal
from acme.contract import ROLES
from acme.contracts.projects.v1 import (
    BatchGetProjectsRequest,
    GetProjectRequest,
    ListProjectsRequest,
    Project,
    ProjectsStub,
)
from acme.errors import NotFound
from acme.ids import new_id
from acme.plugin import Plugin
from acme.testing import Platform, User

pytestmark = pytest.mark.every_placement

DIRECT: Final = ("admin", "member", "viewer")
PERMISSIONS: Final = ("projects.read", "projects.update", "projects.delete", "projects.members.read")
SCOPES: Final = (frozenset({"*"}), frozenset({"projects.read"}), frozenset({"projects.read", "projects.delete"}))
LEAST: Final = {"projects.read": "viewer", "projects.delete": "admin"}
"""The least role that includes a permission, as the contract says."""


@pytest.fixture(scope="module")
def plugins() -> list[Plugin]:
    return [projects_plugin]


@pytest.fixture
async def database(platform: Platform) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(platform.database("projects"))
    yield connection
    await connection.close()


@dataclass(frozen=True)
class Belonging:
    """What somebody is in one of the organisations; numbers stand for teams."""

    role: str
    default: str
    permissions: frozenset[str]
    teams: frozenset[int]


@dataclass(frozen=True)
class Held:
    """A project: its organisation, what became of it, and the roles that subjects 0 (the caller) to 3 (teams) have.
    Without one of them as its owner it belongs to somebody of whom nobody has heard."""

    organization: int
    archived: bool
    deleted: bool
    roles: dict[int, str]
    owner: int | None

    @property
    def direct(self) -> dict[int, str]:
        """Role by subject."""
        return self.roles if self.owner is None else {**self.roles, self.owner: "owner"}


BELONGINGS = st.builds(
    Belonging,
    role=st.sampled_from((*ROLES, "rol_custom")),
    default=st.sampled_from(("", *ROLES)),
    permissions=st.frozensets(st.sampled_from(PERMISSIONS)),
    teams=st.frozensets(st.integers(1, 3), max_size=2),
)
PROJECTS = st.lists(
    st.builds(
        Held,
        organization=st.integers(0, 2),
        archived=st.booleans(),
        deleted=st.sampled_from((False, False, True)),
        roles=st.dictionaries(st.integers(0, 3), st.sampled_from(DIRECT), max_size=3),
        owner=st.sampled_from((None, None, 0, 1)),
    ),
    min_size=1,
    max_size=8,
)


def includes(role: str, permission: str) -> bool:
    return role in ROLES and ROLES.index(role) >= ROLES.index(LEAST[permission])


def expected(belongings: dict[int, Belonging], project: Held, permission: str) -> bool:
    """The rule in one's own words: most of direct role, teams' roles and the organisation's, for those who belong to it."""
    belonging = belongings.get(project.organization)
    if belonging is None:
        return False
    custom = belonging.permissions if belonging.role == "rol_custom" else frozenset[str]()
    teams = frozenset[int]().union(*(each.teams for each in belongings.values()))
    own = [role for subject, role in project.direct.items() if subject == 0 or subject in teams]
    default = "" if belonging.role == "rol_custom" else belonging.default
    return permission in custom or any(includes(role, permission) for role in (*own, default))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    belongings=st.dictionaries(st.integers(0, 2), BELONGINGS),
    held=PROJECTS,
    scopes=st.sampled_from(SCOPES),
    kind=st.sampled_from((Kind.USER, Kind.SERVICE_ACCOUNT)),
    size=st.integers(1, 9),
    query=st.sampled_from(("", "atlas", "atlos")),
    order=st.sampled_from(("", "name", "created_at desc", "updated_at")),
)
async def test_a_list_holds_exactly_what_get_shows(
    platform: Platform,
    database: asyncpg.Connection,
    belongings: dict[int, Belonging],
    held: list[Held],
    scopes: frozenset[str],
    kind: Kind,
    size: int,
    query: str,
    order: str,
) -> None:
    organizations = [new_id("org", platform.clock) for _ in range(3)]
    subjects = [new_id(prefix, platform.clock) for prefix in ("usr", "tem", "tem", "tem")]
    made = [await keep(platform, database, organizations, subjects, project) for project in held]
    memberships = {
        organizations[number]: Membership(
            belonging.role,
            belonging.permissions if belonging.role == "rol_custom" else frozenset(),
            "" if belonging.role == "rol_custom" else belonging.default,
            tuple(subjects[team] for team in sorted(belonging.teams)),
        )
        for number, belonging in belongings.items()
    }
    principal = Principal(kind, subjects[0], scopes=scopes, organization=organizations[0], memberships=memberships)
    projects = platform.stub(ProjectsStub, as_=User(dataclasses.replace(principal, session="ses_x", region="local")))

    readable = {
        one
        for one, project in zip(made, held, strict=True)
        if expected(belongings, project, "projects.delete" if project.deleted else "projects.read")
        and (not project.deleted or "*" in scopes or "projects.delete" in scopes)
    }
    alive = {one for one, project in zip(made, held, strict=True) if not project.deleted}
    assert {one for one in made if await shown(projects, one)} == readable
    batch = await projects.batch_get_projects(BatchGetProjectsRequest(ids=made))
    assert {project.id for project in batch.projects} == readable
    assert set(batch.missing) == set(made) - readable
    for deleted in (False, True):
        found = await listed(projects, size, query=query, order_by=order, show_deleted=deleted)
        ids = [project.id for project in found]
        assert len(set(ids)) == len(ids)
        assert set(ids) == (readable if deleted else readable & alive)


async def keep(
    platform: Platform, database: asyncpg.Connection, organizations: list[str], subjects: list[str], project: Held
) -> str:
    """A project by hand, with these members."""
    made, now = new_id("prj", platform.clock), platform.clock.now()
    owner = new_id("usr", platform.clock) if project.owner is None else subjects[project.owner]
    await database.execute(
        """
        INSERT INTO projects (id, organization_id, owner_id, name, description, labels, archived, region, created_at,
                              updated_at, version, deleted_at, purge_at)
        VALUES ($1, $2, $3, 'Atlas', '', '{}', $4, 'local', $5, $5, 1, $6, $7)
        """,
        made,
        organizations[project.organization],
        owner,
        project.archived,
        now,
        now if project.deleted else None,
        now + timedelta(days=30) if project.deleted else None,
    )
    for subject, role in {owner: "owner", **{subjects[one]: role for one, role in project.direct.items()}}.items():
        await database.execute(
            """
            INSERT INTO project_members (project_id, subject_id, organization_id, role, joined_at, version)
            VALUES ($1, $2, $3, $4, $5, 1)
            """,
            made,
            subject,
            organizations[project.organization],
            role,
            now,
        )
    return made


async def shown(projects: ProjectsStub, project_id: str) -> bool:
    try:
        return (await projects.get_project(GetProjectRequest(id=project_id))).id == project_id
    except NotFound:
        return False


async def listed(projects: ProjectsStub, size: int, **asked: Any) -> list[Project]:
    """All pages of a list."""
    found: list[Project] = []
    token = ""
    while True:
        reply = await projects.list_projects(ListProjectsRequest(page_size=size, page_token=token, **asked))
        found += reply.projects
        if not (token := reply.next_page_token):
            return found
