"""What the tests of projects do over and over."""

from __future__ import annotations

from acme.contracts.google.protobuf import FieldMask
from acme.contracts.projects.v1 import (
    CreateProjectRequest,
    ListProjectsReply,
    ListProjectsRequest,
    Project,
    ProjectsStub,
    UpdateProjectRequest,
)


def update(project: Project, *mask: str, if_match: int | None = None, **values: object) -> UpdateProjectRequest:
    request = UpdateProjectRequest(id=project.id, if_match=if_match, update_mask=FieldMask(paths=list(mask)))
    for name, value in values.items():
        setattr(request, name, value)
    return request


async def make(projects: ProjectsStub, number: int) -> list[Project]:
    """That many projects, newest first."""
    made = [await projects.create_project(CreateProjectRequest(name=f"Number {index}")) for index in range(number)]
    return sorted(made, key=lambda project: project.id, reverse=True)


async def pages(projects: ProjectsStub, size: int) -> list[ListProjectsReply]:
    found = [await projects.list_projects(ListProjectsRequest(page_size=size))]
    while found[-1].next_page_token:
        request = ListProjectsRequest(page_size=size, page_token=found[-1].next_page_token)
        found.append(await projects.list_projects(request))
    return found


async def everything(projects: ProjectsStub) -> list[Project]:
    return [project for page in await pages(projects, 1000) for project in page.projects]
