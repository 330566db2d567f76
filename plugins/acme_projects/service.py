"""The rules of projects. Lists are in `listing.py`, transfers in `transfers.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from acme import Clock, Conflict, Fault, Invalid, authorise, current, events, new_id
from acme.contracts.projects.v1 import (
    AcceptProjectTransferRequest,
    ArchiveProjectRequest,
    BatchGetProjectsReply,
    BatchGetProjectsRequest,
    CancelProjectTransferReply,
    CancelProjectTransferRequest,
    CreateProjectRequest,
    DeleteProjectReply,
    DeleteProjectRequest,
    GetProjectRequest,
    LeaveProjectReply,
    LeaveProjectRequest,
    ListProjectsReply,
    ListProjectsRequest,
    Project,
    ProjectArchived,
    ProjectCreated,
    ProjectDeleted,
    ProjectMemberRemoved,
    ProjectsBase,
    ProjectTransfer,
    ProjectUnarchived,
    ProjectUndeleted,
    ProjectUpdated,
    TransferProjectRequest,
    UnarchiveProjectRequest,
    UndeleteProjectRequest,
    UpdateProjectRequest,
)
from acme_projects.access import Access, check_version, covered, hidden
from acme_projects.listing import Listing
from acme_projects.store import MemberStore, ProjectStore
from acme_projects.transfers import Transfers

MUTABLE: Final = ("name", "description", "labels")
"""Fields that an update mask may name."""
KEPT: Final = timedelta(days=30)
"""How long a deleted project can be brought back."""


class Projects(ProjectsBase):
    """Keeps the contract `acme.projects.v1.Projects`."""

    def __init__(
        self,
        store: ProjectStore,
        members: MemberStore,
        access: Access,
        listing: Listing,
        transfers: Transfers,
        clock: Clock,
        region: str,
    ) -> None:
        self._store, self._members, self._access = store, members, access
        self._listing, self._transfers, self._clock, self._region = listing, transfers, clock, region

    async def create_project(self, message: CreateProjectRequest) -> Project:
        """Makes a project that the caller owns.

        Raises:
            NotFound: the organisation is not one of the caller's.
            Denied: its role there does not include it.
        """
        principal = current().principal
        organization = message.organization_id or principal.organization
        authorise("projects.create", organization=organization)
        now = self._clock.now()
        project = Project(
            id=new_id("prj", self._clock),
            organization_id=organization,
            owner_id=principal.id,
            name=message.name,
            description=message.description,
            labels=message.labels,
            archived=False,
            region=self._region,
            created_at=now,
            updated_at=now,
            version=1,
        )
        await self._store.insert(project)
        events.add(ProjectCreated(project_id=project.id, project=project))
        return project

    async def get_project(self, message: GetProjectRequest) -> Project:
        """A deleted one is shown to those who may bring it back.

        Raises:
            NotFound: the caller may not see it.
        """
        found = await self._visible([message.id])
        if not found:
            raise hidden("projects.read", message.id)
        return found[message.id]

    async def batch_get_projects(self, message: BatchGetProjectsRequest) -> BatchGetProjectsReply:
        """As many times `get_project`; what that would not find is named as missing."""
        ids = list(dict.fromkeys(message.ids))
        found = await self._visible(ids)
        return BatchGetProjectsReply(
            projects=[found[one] for one in ids if one in found], missing=[one for one in ids if one not in found]
        )

    async def list_projects(self, message: ListProjectsRequest) -> ListProjectsReply:
        """Raises as `Listing.list`."""
        return await self._listing.list(message)

    async def update_project(self, message: UpdateProjectRequest) -> Project:
        """Sets the fields that the mask names; without a mask all that can be set, as AIP-134 has it.

        An empty mask, or values that are there already, change nothing.

        Raises:
            Invalid: the mask names a field that nobody can set.
            NotFound, Denied, Stale, Conflict: as `Access.hold`. An empty mask changes archived projects as little as others.
        """
        mask = MUTABLE if message.update_mask is None else message.update_mask.paths
        if unknown := sorted(set(mask).difference(MUTABLE)):
            faults = [Fault("/update_mask", "unknown_field", f"{path} cannot be changed") for path in unknown]
            raise Invalid(f"An update may name {', '.join(MUTABLE)}.", faults=faults)
        values = {path: getattr(message, path) for path in mask}
        project = await self._hold(message.id, "projects.update", message.if_match, archived=not mask)
        return await self._change(project, values, ProjectUpdated)

    async def archive_project(self, message: ArchiveProjectRequest) -> Project:
        """Raises `NotFound`, `Denied` and `Stale` as `Access.hold`."""
        project = await self._hold(message.id, "projects.archive", message.if_match, archived=True)
        return await self._change(project, {"archived": True}, ProjectArchived)

    async def unarchive_project(self, message: UnarchiveProjectRequest) -> Project:
        """Raises `NotFound`, `Denied` and `Stale` as `Access.hold`."""
        project = await self._hold(message.id, "projects.archive", message.if_match, archived=True)
        return await self._change(project, {"archived": False}, ProjectUnarchived)

    async def delete_project(self, message: DeleteProjectRequest) -> DeleteProjectReply:
        """From now on it is only there for those who may bring it back, until the job `purge` takes it away.

        Deleting a deleted one changes nothing, whatever version it is meant for: it may be the same call again.

        Raises:
            NotFound, Denied, Stale: as `Access.hold`.
        """
        project = (await self._access.hold(message.id, "projects.delete", archived=True, deleted=True)).project
        if project.deleted_at is None:
            check_version(message.if_match, project.version, "project")
            await self._change(project, {"deleted_at": self._clock.now()}, ProjectDeleted)
        return DeleteProjectReply()

    async def undelete_project(self, message: UndeleteProjectRequest) -> Project:
        """One that is not deleted stays as it is.

        Raises:
            NotFound: the caller may not bring it back, or it is too late.
            Denied: it is not deleted, and the caller could not bring it back if it were.
        """
        standing = await self._access.hold(message.id, "projects.delete", archived=True, deleted=True)
        return await self._change(standing.project, {"deleted_at": None}, ProjectUndeleted)

    async def transfer_project(self, message: TransferProjectRequest) -> ProjectTransfer:
        """Raises as `Transfers.offer`."""
        return await self._transfers.offer(message.id, message.user_id)

    async def accept_project_transfer(self, message: AcceptProjectTransferRequest) -> Project:
        """Raises as `Transfers.accept`."""
        return await self._transfers.accept(message.id)

    async def cancel_project_transfer(self, message: CancelProjectTransferRequest) -> CancelProjectTransferReply:
        """Raises as `Transfers.cancel`."""
        await self._transfers.cancel(message.id)
        return CancelProjectTransferReply()

    async def leave_project(self, message: LeaveProjectRequest) -> LeaveProjectReply:
        """Ends the caller's own membership; what its teams and its organisation give it stays.

        Raises:
            NotFound: the caller may not see the project.
            Conflict: it owns the project, or is no direct member of it.
        """
        user_id = current().principal.id
        standing = await self._access.hold(message.id, "projects.leave", archived=True)
        member = await self._members.get(message.id, user_id)
        if member is None:
            raise Conflict("You are no direct member of the project.", reason="not_a_member")
        if member.role == "owner":
            raise Conflict("The owner stays: transfer the project first.", reason="owner_stays")
        await self._members.remove(message.id, user_id)
        events.add(
            ProjectMemberRemoved(
                project_id=message.id,
                subject_id=user_id,
                reason="left",
                removed_at=self._clock.now(),
                organization_id=standing.project.organization_id,
            )
        )
        return LeaveProjectReply()

    async def _visible(self, ids: list[str]) -> Mapping[str, Project]:
        read, deleted = authorise.scope("projects.read"), covered("projects.delete")
        found = await self._store.visible(ids, read=read, deleted=deleted, at=self._clock.now())
        return {project.id: project for project in found}

    async def _hold(self, project_id: str, permission: str, version: int | None, *, archived: bool) -> Project:
        standing = await self._access.hold(project_id, permission, version=version, archived=archived)
        return standing.project

    async def _change(self, project: Project, values: Mapping[str, Any], event: type[Any]) -> Project:
        """Sets fields of a project that is held, and says so; nothing when they are so already."""
        if all(getattr(project, name) == value for name, value in values.items()):
            return project
        now, wanted = self._clock.now(), replace(project, **values)
        purge_at = None if wanted.deleted_at is None else wanted.deleted_at + KEPT
        changed = await self._store.write(wanted, at=now, purge_at=purge_at)
        events.add(event(project_id=changed.id, project=changed))
        return changed
