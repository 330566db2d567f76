"""Projects: what people work in. Contract: `protos/acme/projects/v1/projects.proto`.

`service.py` holds the rules, `store.py` all the SQL, `migrations/` the tables. A project has one owner, who alone may see
and change it; its organisation and region are settled when it is made. Every change is one statement that decides and
writes at once, so a method costs one round trip to the database plus its commit.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from acme import NoSettings, Plugin, Resources
from acme.contracts.projects.v1 import ProjectsBase
from acme_projects.service import Projects
from acme_projects.store import Store


@asynccontextmanager
async def _service(resources: Resources[NoSettings]) -> AsyncIterator[Sequence[object]]:
    yield (Projects(Store(resources.database), resources.clock, resources.pages, resources.region),)


plugin: Final = Plugin(name="projects", version="0.1.0", package=__name__, contracts=(ProjectsBase,), service=_service)
