"""The rules of project members."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from acme import (
    Clock,
    Conflict,
    Directory,
    Fault,
    Invalid,
    NotFound,
    Pages,
    audit,
    authorise,
    events,
    page_size,
    work,
)
from acme.contracts.projects.v1 import (
    AddProjectMemberReply,
    AddProjectMemberRequest,
    JoinProjectReply,
    JoinProjectRequest,
    LeaveProjectsReply,
    LeaveProjectsRequest,
    ListProjectMembersReply,
    ListProjectMembersRequest,
    Project,
    ProjectMember,
    ProjectMemberAdded,
    ProjectMemberRemoved,
    ProjectMembersBase,
    ProjectMemberUpdated,
    ProjectTransferred,
    RemoveProjectMemberReply,
    RemoveProjectMemberRequest,
    UpdateProjectMemberRequest,
)
from acme.contracts.users.v1 import (
    Found,
    InvitationsStub,
    InviteToProjectRequest,
    LookUpMembersRequest,
    MembershipStub,
)
from acme_projects.access import (
    Access,
    check_gives,
    check_version,
    check_writable,
    covered,
    hidden,
    none,
    permissions,
    refused,
)
from acme_projects.store import MemberStore, ProjectStore, TransferStore
from acme_projects.transfers import STANDS

LEAVING: Final = 200
"""Projects that one transaction takes somebody out of."""

_EARLIEST: Final = (datetime.min.replace(tzinfo=UTC), "")
"""The position before the first member."""
_INVITE: Final = "projects.members.invite"
_RANKS: Final = {role: rank for rank, role in enumerate(("viewer", "member", "admin", "owner"))}


class ProjectMembers(ProjectMembersBase):
    """Keeps the contract `acme.projects.v1.ProjectMembers`."""

    def __init__(
        self,
        store: MemberStore,
        projects: ProjectStore,
        transfers: TransferStore,
        access: Access,
        directory: Directory,
        clock: Clock,
        pages: Pages,
    ) -> None:
        self._store, self._projects, self._transfers, self._access = store, projects, transfers, access
        self._users, self._invitations = directory.client(MembershipStub), directory.client(InvitationsStub)
        self._clock, self._pages = clock, pages

    async def list_project_members(self, message: ListProjectMembersRequest) -> ListProjectMembersReply:
        """Raises:
        NotFound, Denied: the caller may not see the project, or not its members.
        Malformed: a page token that was altered, or made for somebody else or another project.
        """
        allowed, seen = authorise.scope("projects.members.read"), covered("projects.read")
        begun = self._pages.open(message.page_token, message.project_id)
        after = _EARLIEST if begun is None else (datetime.fromisoformat(begun[0]), begun[1])
        size = page_size(message.page_size)
        page = await self._store.page(message.project_id, allowed=allowed, seen=seen, after=after, limit=size + 1)
        if page is None:
            raise hidden("projects.members.read", message.project_id)
        if not page.allowed:
            organization_id = await self._projects.organization(message.project_id)
            raise refused("projects.members.read", message.project_id, organization_id or "")
        members, token = page.members[:size], ""
        if len(page.members) > size:
            token = self._pages.seal((members[-1].joined_at, members[-1].subject_id), message.project_id)
        return ListProjectMembersReply(members=members, next_page_token=token)

    async def add_project_member(self, message: AddProjectMemberRequest) -> AddProjectMemberReply:
        """By id at once; by address always through an invitation, whoever the address belongs to.

        Raises:
            Invalid: neither an id nor an address, or both; an id that does not belong to the organisation.
            NotFound, Denied, Conflict: as `Access.hold`; the role includes more than the caller may do; it is a member.
        """
        if bool(message.subject_id) == bool(message.email):
            faults = [Fault(f"/{name}", "exclusive", "give one of both") for name in ("subject_id", "email")]
            raise Invalid("Say either who it is (subject_id), or whom to invite (email).", faults=faults)
        standing = await self._access.look(message.project_id, _INVITE)
        check_gives(standing, message.role)
        check_writable(standing.project)
        if message.email:
            return await self._invite(standing.project, message)
        found = await self._look_up(standing.project.organization_id, message.subject_id)
        if not found:
            problem = "It has to be somebody who belongs to the organisation of the project."
            raise Invalid(problem, reason="not_a_member", faults=[Fault("/subject_id", "not_a_member", problem)])
        async with work(last=True):
            standing = await self._access.hold(message.project_id, _INVITE)
            check_gives(standing, message.role)
            member = await self._add(
                standing.project.organization_id, message.project_id, message.subject_id, message.role
            )
            if member is None:
                raise Conflict("It is a member already: change its role instead.", reason="already_member")
        return AddProjectMemberReply(member=member)

    async def update_project_member(self, message: UpdateProjectMemberRequest) -> ProjectMember:
        """The same role again changes nothing.

        Raises:
            Invalid: the mask names something else than the role, or the role is empty.
            NotFound, Denied, Conflict: as `Access.hold`; there is no such member; its role, or the wanted one, includes more
                than the caller may do; it is the owner.
            Stale: it has another version.
        """
        mask = ["role"] if message.update_mask is None else message.update_mask.paths
        if unknown := sorted(set(mask).difference(("role",))):
            faults = [Fault("/update_mask", "unknown_field", f"{path} cannot be changed") for path in unknown]
            raise Invalid("Of a member the role can be changed.", faults=faults)
        if mask and not message.role:
            raise Invalid("Say which role.", faults=[Fault("/role", "required", "admin, member or viewer")])
        standing = await self._access.hold(message.project_id, "projects.members.update", archived=not mask)
        member = await self._store.get(message.project_id, message.subject_id)
        if member is None:
            raise _no_member()
        if mask:
            check_gives(standing, member.role)
            check_gives(standing, message.role)
        check_version(message.if_match, member.version, "member")
        if not mask:
            return member
        if member.role == "owner":
            raise _owner_stays()
        if member.role == message.role:
            return member
        return await self._set_role(
            standing.project.organization_id, message.project_id, message.subject_id, message.role
        )

    async def remove_project_member(self, message: RemoveProjectMemberRequest) -> RemoveProjectMemberReply:
        """Raises:
        NotFound, Denied, Conflict: as `Access.hold`; it is no member; its role includes more than the caller may do; it is
            the owner.
        """
        standing = await self._access.hold(message.project_id, "projects.members.remove")
        member = await self._store.get(message.project_id, message.subject_id)
        if member is None:
            raise _no_member()
        check_gives(standing, member.role)
        if member.role == "owner":
            raise _owner_stays()
        await self._store.remove(message.project_id, message.subject_id)
        self._removed(standing.project.organization_id, message.project_id, message.subject_id, "removed")
        return RemoveProjectMemberReply()

    async def join_project(self, message: JoinProjectRequest) -> JoinProjectReply:
        """Whoever is a member already keeps its role, if that includes more. An archived project can be joined: it was
        agreed on before.

        Raises:
            NotFound: the project is gone.
            Conflict: the user does not belong to the organisation; or who invited may not invite any more, or not with this
                role.
        """
        organization_id = await self._projects.organization(message.project_id)
        if organization_id is None:
            raise none()
        found = await self._look_up(organization_id, message.user_id, message.inviter_id)
        if message.user_id not in found:
            raise Conflict("The user does not belong to the organisation any more.", reason="not_a_member")
        async with work(last=True):
            await self._projects.lock(message.project_id)
            if await self._store.use(message.project_id, message.invitation_id):
                await self._check_invites(message, found.get(message.inviter_id))
                member = await self._store.get(message.project_id, message.user_id)
                if member is None:
                    await self._add(organization_id, message.project_id, message.user_id, message.role)
                elif _RANKS[member.role] < _RANKS[message.role]:
                    await self._set_role(organization_id, message.project_id, message.user_id, message.role)
        return JoinProjectReply()

    async def leave_projects(self, message: LeaveProjectsRequest) -> LeaveProjectsReply:
        """In transactions of `LEAVING` projects each; repeated, it goes on where it was interrupted. Archived and deleted
        projects are left, too. Offers of ownership that the subject has a part in are void."""
        heir = "" if message.heir_id == message.subject_id else message.heir_id
        left_at = message.left_at or self._clock.now()
        subject = message.subject_id
        async with work():
            await self._transfers.drop_all(message.organization_id, subject, ending=left_at + STANDS)
            audit.done()  # all that follows has begun with this
        more = True
        while more:
            async with work():
                now = self._clock.now()
                departure = await self._store.leave(
                    message.organization_id, subject, left_at=left_at, heir=heir, at=now, limit=LEAVING
                )
                for project in departure.inherited:
                    events.add(ProjectTransferred(project_id=project.id, project=project, from_user_id=subject))
                for project_id in departure.projects:
                    self._removed(message.organization_id, project_id, subject, "organization_left")
                more = departure.more
        return LeaveProjectsReply()

    async def _invite(self, project: Project, message: AddProjectMemberRequest) -> AddProjectMemberReply:
        """The users service sends the mail; asked again, it sends another, and the one before is void."""
        await self._invitations.invite_to_project(
            InviteToProjectRequest(
                organization_id=project.organization_id,
                project_id=project.id,
                project_name=project.name,
                project_role=message.role,
                email=message.email,
            )
        )
        async with work(last=True):  # for the record of an Idempotency-Key: the same request sends no second mail
            pass
        return AddProjectMemberReply(invited=True)

    async def _look_up(self, organization_id: str, *ids: str) -> dict[str, Found]:
        reply = await self._users.look_up_members(LookUpMembersRequest(organization_id=organization_id, ids=list(ids)))
        return {one.id: one for one in reply.found}

    async def _check_invites(self, message: JoinProjectRequest, inviter: Found | None) -> None:
        """Raises unless the one who invited may do so at this moment, by what it is on the project and in its
        organisation."""
        membership = None if inviter is None else inviter.membership
        if membership is not None:
            own = await self._store.roles(message.project_id, [message.inviter_id, *membership.teams])
            granted = permissions(own, membership.default_role, membership.permissions)
            if _INVITE in granted and authorise.role(message.role) <= granted:
                return
        raise Conflict("Whoever invited may not do so any more.", reason="inviter_may_not")

    async def _add(self, organization_id: str, project_id: str, subject_id: str, role: str) -> ProjectMember | None:
        now = self._clock.now()
        member = await self._store.add(project_id, subject_id, role, at=now)
        if member is not None:
            events.add(
                ProjectMemberAdded(
                    project_id=project_id,
                    subject_id=subject_id,
                    role=role,
                    joined_at=now,
                    organization_id=organization_id,
                )
            )
        return member

    async def _set_role(self, organization_id: str, project_id: str, subject_id: str, role: str) -> ProjectMember:
        member = await self._store.set_role(project_id, subject_id, role)
        if member is None:
            raise LookupError(f"{subject_id} is gone from {project_id}, although that was locked")
        now = self._clock.now()
        events.add(
            ProjectMemberUpdated(
                project_id=project_id,
                subject_id=subject_id,
                role=role,
                updated_at=now,
                organization_id=organization_id,
            )
        )
        return member

    def _removed(self, organization_id: str, project_id: str, subject_id: str, reason: str) -> None:
        now = self._clock.now()
        events.add(
            ProjectMemberRemoved(
                project_id=project_id,
                subject_id=subject_id,
                reason=reason,
                removed_at=now,
                organization_id=organization_id,
            )
        )


def _no_member() -> NotFound:
    return NotFound("The project has no such member.", reason="no_such_member")


def _owner_stays() -> Conflict:
    return Conflict("The owner stays: transfer the project first.", reason="owner_stays")
