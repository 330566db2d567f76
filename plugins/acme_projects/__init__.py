"""Projects: what people work in. Contracts: `protos/acme/projects/v1/projects.proto`, one service a resource.

    service.py     Projects: make, show, change, delete         access.py   who may do what, and give what
    listing.py     lists and searches                           store/      all the SQL; who may see is part of it
    transfers.py   ownership: offered, accepted                 migrations/ the tables
    members.py     ProjectMembers
    settings.py    ProjectSettings                              schemas.py  JSON Schemas and merge patches

A project has one owner, who is one of its members; its organisation and region are settled when it is made. Reading takes
one statement. A change takes three: it locks the project, decides, and writes; whatever others did to its members until
then is seen.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from acme import Job, NoSettings, Plugin, Resources, audit, events, work
from acme.contracts.projects.v1 import ProjectMembersBase, ProjectPurged, ProjectsBase, ProjectSettingsBase
from acme_projects.access import Access
from acme_projects.listing import Listing
from acme_projects.members import ProjectMembers
from acme_projects.service import Projects
from acme_projects.settings import ProjectSettings
from acme_projects.store import ListStore, MemberStore, ProjectStore, SettingsStore, TransferStore
from acme_projects.transfers import Transfers

PURGE_BATCH: Final = 100
"""Projects that one transaction of the job `purge` deletes."""


@asynccontextmanager
async def _service(resources: Resources[NoSettings]) -> AsyncIterator[Sequence[object]]:
    database, clock, pages, directory = resources.database, resources.clock, resources.pages, resources.directory
    projects, members, offers = ProjectStore(database), MemberStore(database), TransferStore(database)
    access = Access(projects, clock)
    transfers = Transfers(offers, projects, members, access, directory, clock)
    listing = Listing(ListStore(database), clock, pages)
    yield (
        Projects(projects, members, access, listing, transfers, clock, resources.region),
        ProjectMembers(members, projects, offers, access, directory, clock, pages),
        ProjectSettings(SettingsStore(database), access, clock, pages),
    )


async def _purge(resources: Resources[Any]) -> None:
    """Deletes for good the projects whose time is over, and tells whoever keeps something of them."""
    store, more = ProjectStore(resources.database), True
    while more:
        async with work():
            now = resources.clock.now()
            purged = await store.purge(at=now, limit=PURGE_BATCH)
            for project_id, organization_id in purged:
                events.add(ProjectPurged(project_id=project_id, organization_id=organization_id, purged_at=now))
                audit.add("projects.purge", organization=organization_id, targets=[project_id])
        more = len(purged) == PURGE_BATCH


plugin: Final = Plugin(
    name="projects",
    version="0.1.0",
    package=__name__,
    contracts=(ProjectsBase, ProjectMembersBase, ProjectSettingsBase),
    service=_service,
    jobs=(Job("purge", every=60, run=_purge),),
)
