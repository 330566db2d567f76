"""A database for every plugin: on the embedded PostgreSQL, on a server of the operator's, or wherever a URL says.

This module starts PostgreSQL and imports little, so that the rest of the platform is imported while PostgreSQL starts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit, urlunsplit

from acme.drivers import postgres
from acme.drivers.embedded import DataFolderInUse, EmbeddedPostgres, StartFailed
from acme.runtime import datafolder
from acme.runtime.settings import DatabaseSettings
from acme.tasks import Tasks
from acme.telemetry import Metrics, logger

log: Final = logger(__name__)

REVIVE_EVERY: Final = 0.25
"""Seconds between two looks at whether our PostgreSQL lives."""

SESSIONS: Final = 100
"""Sessions that the embedded PostgreSQL has room for, unless asked for more."""


class CannotStart(Exception):
    """The platform cannot start here and now; the text is for people."""


class Databases:
    """Where the databases are. Made by `serve`."""

    def __init__(self, settings: DatabaseSettings, server: EmbeddedPostgres | None, tasks: Tasks) -> None:
        self._settings, self._server, self._tasks = settings, server, tasks
        self.metrics: Metrics | None = None
        """Of the process; they hear what is measured of databases that are opened."""

    @property
    def embedded(self) -> bool:
        """Whether PostgreSQL is ours."""
        return self._server is not None

    @property
    def mode(self) -> Literal["embedded", "external"]:
        """The same, as it is told to people."""
        return "embedded" if self.embedded else "external"

    @property
    def url(self) -> str:
        """The server, as other processes set it in `[database] url`."""
        return self._url("")

    async def open(self, plugin: str) -> postgres.Pool:
        """The plugin's own database. Created when it is missing, unless the configuration names one.

        Raises:
            acme.errors.Unavailable: the server cannot be reached.
        """
        url = self._settings.urls.get(plugin)
        if url is None:
            await postgres.create_database(self._url("postgres"), plugin)
            url = self._url(plugin)
        return await postgres.open(url, size=self._settings.connections, tasks=self._tasks, metrics=self.metrics)

    def address(self, database: str) -> str:
        """The URL of another database on the same server."""
        return self._url(database)

    def _url(self, database: str) -> str:
        if self._server is not None:
            return self._server.url(database)
        return urlunsplit(urlsplit(self._settings.url)._replace(path=f"/{database}"))


@asynccontextmanager
async def serve(
    settings: DatabaseSettings, data: Path, tasks: Tasks, *, alone: bool = True, sessions: int = 0
) -> AsyncIterator[Databases]:
    """Holds the data folder and, with `embedded:`, runs PostgreSQL on it, for at least so many `sessions`.

    Not `alone`: the folder is somebody else's, or shared, and only the server is used.

    Raises:
        CannotStart: the folder is another process's, or PostgreSQL does not start.
    """
    async with AsyncExitStack() as stack:
        if not alone:
            yield Databases(settings, None, tasks)
            return
        if settings.url != "embedded:":
            try:
                stack.enter_context(datafolder.claim(data))
            except datafolder.FolderError as error:
                raise CannotStart(str(error)) from error
            yield Databases(settings, None, tasks)
            return
        server = EmbeddedPostgres(
            data,
            postgres_bin=Path(settings.binaries) if settings.binaries else None,
            settings={"max_connections": str(sessions)} if sessions > SESSIONS else None,
        )
        try:
            await server.start()
        except (DataFolderInUse, StartFailed) as error:
            raise CannotStart(str(error)) from error
        except OSError as error:
            raise CannotStart(f"the data folder {data} cannot be used: {error}") from error
        stack.push_async_callback(server.stop)
        watch = tasks.loop("postgres.revive", partial(_revive, server), pause=REVIVE_EVERY)
        stack.callback(watch.cancel)
        yield Databases(settings, server, tasks)


async def _revive(server: EmbeddedPostgres) -> None:
    """What was acknowledged is in the WAL; requests meanwhile are answered 503, and clients come back."""
    if await server.revive():
        log.error("PostgreSQL had ended by itself and was started again; its log says why")
