"""Projects through their contract: who may see them, and who may do what to them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from acme_projects import plugin as projects_plugin
from acme_users import plugin as users_plugin

from acme.context import Kind
from acme.contracts.projects.v1 import (
    AcceptProjectTransferRequest,
    AddProjectMemberRequest,
    ArchiveProjectRequest,
    CancelProjectTransferRequest,
    CreateProjectRequest,
    DeleteProjectRequest,
    GetProjectRequest,
    LeaveProjectRequest,
    ListProjectMembersRequest,
    ProjectMembersStub,
    ProjectsStub,
    RemoveProjectMemberRequest,
    TransferProjectRequest,
    UnarchiveProjectRequest,
    UndeleteProjectRequest,
    UpdateProjectMemberRequest,
)
from acme.errors import Conflict, Denied, NotFound, Refused
from acme.plugin import Plugin
from acme.testing import User
from tests.contract.projects.calls import update
from tests.contract.projects.crews import Crew
from tests.offices import narrowed

pytestmark = pytest.mark.every_placement

RANKS = ("viewer", "member", "admin", "owner")
NOBODY = "usr_01h455vb4pex5vsknk084sn02q"

Calling = Callable[[ProjectsStub, ProjectMembersStub, Crew], Awaitable[Any]]
CALLS: dict[str, tuple[str, Calling]] = {
    "get": ("viewer", lambda p, m, c: p.get_project(GetProjectRequest(id=c.atlas.id))),
    "list members": (
        "viewer",
        lambda p, m, c: m.list_project_members(ListProjectMembersRequest(project_id=c.atlas.id)),
    ),
    "update": ("member", lambda p, m, c: p.update_project(update(c.atlas, "name", name="Other"))),
    "update nothing": ("member", lambda p, m, c: p.update_project(update(c.atlas))),
    "archive": ("admin", lambda p, m, c: p.archive_project(ArchiveProjectRequest(id=c.atlas.id))),
    "unarchive": ("admin", lambda p, m, c: p.unarchive_project(UnarchiveProjectRequest(id=c.atlas.id))),
    "delete": ("admin", lambda p, m, c: p.delete_project(DeleteProjectRequest(id=c.atlas.id))),
    "undelete": ("admin", lambda p, m, c: p.undelete_project(UndeleteProjectRequest(id=c.atlas.id))),
    "transfer": ("owner", lambda p, m, c: p.transfer_project(TransferProjectRequest(id=c.atlas.id, user_id=NOBODY))),
    "add": (
        "admin",
        lambda p, m, c: m.add_project_member(
            AddProjectMemberRequest(project_id=c.atlas.id, subject_id=NOBODY, role="viewer")
        ),
    ),
    "change a member": (
        "admin",
        lambda p, m, c: m.update_project_member(
            UpdateProjectMemberRequest(project_id=c.atlas.id, subject_id=NOBODY, role="viewer")
        ),
    ),
    "remove": (
        "admin",
        lambda p, m, c: m.remove_project_member(RemoveProjectMemberRequest(project_id=c.atlas.id, subject_id=NOBODY)),
    ),
}
"""What may be done to a project, and the least role for it; the reply may be another refusal."""


@pytest.fixture(scope="module")
def plugins() -> list[Plugin]:
    return [users_plugin, projects_plugin]


async def answer(crew: Crew, somebody: User, call: Calling) -> str:
    """ "404", "403" or "ok", whatever else comes after the decision."""
    try:
        await call(crew.projects(somebody), crew.members(somebody), crew)
    except NotFound as refused:
        return "ok" if refused.reason == "no_such_member" else "404"
    except Denied:
        return "403"
    except Refused:
        return "ok"
    return "ok"


async def expect(crew: Crew, somebody: User, role: str, *, visible: bool = True) -> None:
    """Every call is answered as somebody with this role on the project has to expect; refusals change nothing."""
    for name, (least, call) in CALLS.items():
        if name == "transfer" and somebody.principal.kind is Kind.SERVICE_ACCOUNT:
            continue  # nobody logs in there, so it is refused before anybody looks at the project
        allowed = bool(role) and RANKS.index(role) >= RANKS.index(least)
        if allowed and name not in (
            "get",
            "list members",
            "update nothing",
            "unarchive",
            "undelete",
            "transfer",
            "add",
        ):
            continue  # it would change the project for the calls that follow
        before = await crew.everything()
        expected = "ok" if allowed else "403" if visible else "404"
        assert await answer(crew, somebody, call) == expected, f"{name} as {role or 'nobody'}"
        assert await crew.everything() == before, name


@pytest.mark.parametrize("role", ["viewer", "member", "admin"])
async def test_a_role_on_the_project_itself_counts_for_a_guest_of_the_organisation(crew: Crew, role: str) -> None:
    await expect(crew, await crew.direct(role), role)


@pytest.mark.parametrize("role", ["viewer", "member", "admin"])
async def test_a_role_of_ones_team_counts(crew: Crew, role: str) -> None:
    await expect(crew, await crew.by_team(role), role)


@pytest.mark.parametrize(("within", "role"), [("owner", "owner"), ("admin", "admin")])
async def test_owners_and_admins_of_the_organisation_reach_all_its_projects(crew: Crew, within: str, role: str) -> None:
    await expect(crew, await crew.office.member(within), role)


@pytest.mark.parametrize(
    ("within", "default", "role"),
    [
        ("member", "none", ""),
        ("viewer", "member", "viewer"),
        ("member", "member", "member"),
        ("member", "viewer", "viewer"),
        ("guest", "member", ""),
    ],
)
async def test_others_reach_what_the_default_role_gives_and_no_more_than_they_are(
    crew: Crew, within: str, default: str, role: str
) -> None:
    await crew.default(crew.office, default)
    await expect(crew, await crew.office.member(within), role, visible=bool(role))


async def test_the_owner_may_do_everything(crew: Crew) -> None:
    await expect(crew, crew.maker, "owner")


async def test_the_most_of_several_roles_counts(crew: Crew) -> None:
    await crew.default(crew.office, "member")
    somebody = await crew.direct("viewer", within="member")
    await crew.role(await crew.team(somebody), "admin")
    await expect(crew, somebody, "admin")


async def test_strangers_and_members_of_other_organisations_see_nothing(crew: Crew) -> None:
    other = await crew.office.another()
    for somebody in (await crew.office.stranger(), other.owner, await crew.office.member("guest")):
        await expect(crew, somebody, "", visible=False)


async def test_a_role_on_a_project_is_worth_nothing_to_those_who_left_the_organisation(crew: Crew) -> None:
    await expect(crew, await crew.expired("admin"), "", visible=False)


async def test_a_service_account_is_a_member_like_others(crew: Crew) -> None:
    bot = await crew.account()
    await expect(crew, bot, "", visible=False)
    await crew.role(bot.id, "viewer")
    await expect(crew, bot, "viewer")


async def test_a_token_that_only_reads_changes_nothing(crew: Crew) -> None:
    reader = crew.reader(crew.maker)
    assert await crew.sees(reader)
    before = await crew.everything()
    for name, (least, call) in CALLS.items():
        assert await answer(crew, reader, call) == ("ok" if least == "viewer" else "403"), name
    assert await crew.everything() == before


async def test_a_token_that_does_not_read_changes_what_it_covers(crew: Crew) -> None:
    writer = narrowed(crew.maker, "projects.update")
    assert (await crew.projects(writer).update_project(update(crew.atlas, "name", name="B"))).name == "B"
    with pytest.raises(Denied):
        await crew.projects(writer).get_project(GetProjectRequest(id=crew.atlas.id))
    stranger = narrowed(await crew.office.stranger(), "projects.update")
    with pytest.raises(NotFound):
        await crew.projects(stranger).update_project(update(crew.atlas, "name", name="C"))


async def test_a_custom_role_may_do_what_it_includes_on_every_project(crew: Crew) -> None:
    archivist = await crew.custom("projects.read", "projects.archive")
    projects = crew.projects(archivist)
    assert (await projects.archive_project(ArchiveProjectRequest(id=crew.atlas.id))).archived
    with pytest.raises(Denied):
        await projects.delete_project(DeleteProjectRequest(id=crew.atlas.id))
    with pytest.raises(Denied):
        await crew.members(archivist).list_project_members(ListProjectMembersRequest(project_id=crew.atlas.id))


async def test_a_custom_role_without_read_sees_nothing_and_does_what_it_may(crew: Crew) -> None:
    writer = await crew.custom("projects.update")
    assert not await crew.sees(writer)
    assert (await crew.projects(writer).update_project(update(crew.atlas, "name", name="B"))).name == "B"
    with pytest.raises(NotFound):
        await crew.projects(writer).archive_project(ArchiveProjectRequest(id=crew.atlas.id))


@pytest.mark.parametrize("within", ["viewer", "guest"])
async def test_who_may_not_make_projects_is_told_so(crew: Crew, within: str) -> None:
    somebody = await crew.office.member(within)
    with pytest.raises(Denied):
        await crew.projects(somebody).create_project(CreateProjectRequest(organization_id=crew.office.id, name="Mine"))


async def test_an_archived_project_is_refused_to_those_who_could_change_it(crew: Crew) -> None:
    await crew.projects().archive_project(ArchiveProjectRequest(id=crew.atlas.id))
    writes = ("update", "transfer", "add", "change a member", "remove")
    before = await crew.everything()
    for name in writes:
        with pytest.raises(Conflict) as caught:
            await CALLS[name][1](crew.projects(), crew.members(), crew)
        assert caught.value.reason == "project_archived", name
    assert await crew.everything() == before
    viewer = await crew.office.stranger()
    for name in writes:
        assert await answer(crew, viewer, CALLS[name][1]) == "404"


async def test_an_archived_project_is_deleted_undeleted_left_and_unarchived(crew: Crew) -> None:
    somebody = await crew.direct("viewer")
    await crew.projects().archive_project(ArchiveProjectRequest(id=crew.atlas.id))
    await crew.projects(somebody).leave_project(LeaveProjectRequest(id=crew.atlas.id))
    await crew.projects().delete_project(DeleteProjectRequest(id=crew.atlas.id))
    assert (await crew.projects().undelete_project(UndeleteProjectRequest(id=crew.atlas.id))).archived
    assert not (await crew.projects().unarchive_project(UnarchiveProjectRequest(id=crew.atlas.id))).archived


async def test_a_transfer_is_no_way_to_learn_of_a_project(crew: Crew) -> None:
    stranger = crew.projects(await crew.office.stranger())
    with pytest.raises(NotFound):
        await stranger.accept_project_transfer(AcceptProjectTransferRequest(id=crew.atlas.id))
    with pytest.raises(NotFound):
        await stranger.cancel_project_transfer(CancelProjectTransferRequest(id=crew.atlas.id))
