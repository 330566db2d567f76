"""The rules of projects."""

from __future__ import annotations

from typing import Final, NoReturn

from acme import Clock, Conflict, Fault, Invalid, NotFound, Pages, Stale, authorise, current, events, new_id, page_size
from acme.contracts.projects.v1 import (
    ArchiveProjectRequest,
    CreateProjectRequest,
    GetProjectRequest,
    ListProjectsReply,
    ListProjectsRequest,
    Project,
    ProjectArchived,
    ProjectCreated,
    ProjectsBase,
    ProjectUnarchived,
    ProjectUpdated,
    UnarchiveProjectRequest,
    UpdateProjectRequest,
)
from acme_projects.store import FIRST, Change, Outcome, Store

MUTABLE: Final = ("name", "description", "labels")
"""Fields that an update mask may name."""


class Projects(ProjectsBase):
    """Keeps the contract `acme.projects.v1.Projects`."""

    def __init__(self, store: Store, clock: Clock, pages: Pages, region: str) -> None:
        self._store, self._clock, self._pages, self._region = store, clock, pages, region

    async def create_project(self, message: CreateProjectRequest) -> Project:
        """Makes a project that the caller owns.

        Raises:
            NotFound: the organisation is not one of the caller's.
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
        """Raises `NotFound` for a project that is not the caller's."""
        project = await self._store.get(message.id, owner=authorise.scope("projects.read").user)
        return _none() if project is None else project

    async def list_projects(self, message: ListProjectsRequest) -> ListProjectsReply:
        """Raises `Malformed` for a page token that was altered, or made for somebody else."""
        owner = authorise.scope("projects.read").user
        before = self._pages.open(message.page_token) or FIRST
        size = page_size(message.page_size)
        projects = await self._store.list(owner=owner, before=before, limit=size + 1)
        token = self._pages.seal(projects[size - 1].id) if len(projects) > size else ""
        return ListProjectsReply(projects=projects[:size], next_page_token=token)

    async def update_project(self, message: UpdateProjectRequest) -> Project:
        """Sets the fields that the mask names; without a mask all that can be set, as AIP-134 has it.

        An empty mask, or values that are there already, change nothing.

        Raises:
            Invalid: the mask names a field that nobody can set.
            NotFound: the project is not the caller's.
            Stale: it has another version than `if_match`.
            Conflict: it is archived.
        """
        owner = authorise.scope("projects.update").user
        mask = MUTABLE if message.update_mask is None else message.update_mask.paths
        if unknown := sorted(set(mask).difference(MUTABLE)):
            faults = [Fault("/update_mask", "unknown_field", f"{path} cannot be changed") for path in unknown]
            raise Invalid(f"An update may name {', '.join(MUTABLE)}.", faults=faults)
        change = Change(**{path: getattr(message, path) for path in mask})
        outcome = await self._change(message.id, change, owner, message.if_match)
        if outcome.changed:
            events.add(ProjectUpdated(project_id=message.id, project=outcome.project))
        elif mask and outcome.project.archived:
            raise Conflict("The project is archived: unarchive it first.", reason="project_archived")
        return outcome.project

    async def archive_project(self, message: ArchiveProjectRequest) -> Project:
        """Raises `NotFound` and `Stale` as an update does."""
        owner = authorise.scope("projects.archive").user
        outcome = await self._change(message.id, Change(archived=True), owner, message.if_match)
        if outcome.changed:
            events.add(ProjectArchived(project_id=message.id, project=outcome.project))
        return outcome.project

    async def unarchive_project(self, message: UnarchiveProjectRequest) -> Project:
        """Raises `NotFound` and `Stale` as an update does."""
        owner = authorise.scope("projects.archive").user
        outcome = await self._change(message.id, Change(archived=False), owner, message.if_match)
        if outcome.changed:
            events.add(ProjectUnarchived(project_id=message.id, project=outcome.project))
        return outcome.project

    async def _change(self, project_id: str, change: Change, owner: str, version: int | None) -> Outcome:
        outcome = await self._store.change(project_id, change, owner=owner, version=version, at=self._clock.now())
        if outcome is None:
            _none()
        if not outcome.changed and version is not None and outcome.project.version != version:
            raise Stale(
                f"The project has version {outcome.project.version} now: read it again, then repeat your change.",
                reason="version_mismatch",
            )
        return outcome


def _none() -> NoReturn:
    raise NotFound("There is no such project, or you may not see it.")
