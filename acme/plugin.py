"""How a plugin declares itself: frozen data, no side effects on import.

    plugin = Plugin(
        name="projects",
        version="0.1.0",
        package=__name__,
        contracts=(ProjectsBase,),
        service=service,
    )

    @asynccontextmanager
    async def service(resources: Resources[NoSettings]) -> AsyncIterator[tuple[object, ...]]:
        yield (Projects(Store(resources.database), resources.clock),)

The runtime finds it through the entry-point group `acme.plugins`, gives it a database of its own, applies
`<package>/migrations/NNNN_name.sql`, opens `service` and hosts what it yields. The factory unpacks `Resources`: a service
class receives only what it uses.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar

import msgspec

from acme.pages import Pages
from acme.ports import Cache, Cipher, Clock, Directory, Statements
from acme.work import Attempt

SettingsT = TypeVar("SettingsT", covariant=True)


class NoSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of a plugin that has none: any key under `[plugins.NAME]` is an error."""


@dataclass(frozen=True, slots=True)
class TokenProfile:
    """What every access token of this platform carries: see `acme/tokens`."""

    issuer: str
    """Claim `iss`: a name, fixed, whatever the address and port."""
    audience: str
    """Claim `aud`."""


@dataclass(frozen=True, slots=True)
class Resources(Generic[SettingsT]):
    """What the platform hands to a plugin's factory."""

    name: str
    """The plugin's name."""
    settings: SettingsT
    """`[plugins.NAME]` of the configuration, decoded into the plugin's own type."""
    database: Statements
    """The plugin's own database. Inside a call, statements take part in its unit of work (`acme/work.py`)."""
    cache: Cache
    """Bytes for a while, of this plugin alone. It may be empty at any moment, and its store away: see `Cache`. What it holds
    is not part of a unit of work, so change it after the commit."""
    directory: Directory
    """Clients of other contracts; calls carry this plugin's identity and the principal it acts for."""
    clock: Clock
    cipher: Cipher
    pages: Pages
    """Page tokens bound to the caller and the query."""
    tokens: TokenProfile
    region: str
    """Region of this cluster, such as "us-east"; given to what is created here, and never changed after."""
    public_url: str
    """Origin that links in mails point at, without a trailing slash. Never taken from a request."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """Carries out what `deliver(kind, payload)` asked for, after the commit, at least once.

    `handler` gets the plugin's resources and the attempt, runs outside of any transaction, and raises to be tried again.
    """

    kind: str
    handler: Callable[[Resources[Any], Attempt], Awaitable[None]]
    attempts: int = 12


class Replicas(StrEnum):
    """In how many of several equal processes a job runs at a time."""

    SINGLETON = "singleton"
    EVERY = "every-replica"


@dataclass(frozen=True, slots=True)
class Job:
    """Work that recurs: `run` is called at the start and then every `every` seconds, counted from its end."""

    name: str
    every: float
    run: Callable[[Resources[Any]], Awaitable[None]]
    replicas: Replicas = Replicas.SINGLETON


@dataclass(frozen=True, slots=True)
class Plugin:
    """A declaration. `contracts` are the generated bases the service keeps, one instance of each comes from `service`."""

    name: str
    version: str
    package: str
    """Import package that holds `migrations/`; `__name__` of the module that declares it."""
    contracts: tuple[type, ...]
    service: Callable[[Resources[Any]], AbstractAsyncContextManager[Sequence[object]]]
    settings: type = NoSettings
    deliveries: tuple[Delivery, ...] = ()
    jobs: tuple[Job, ...] = ()
    api: str = ">=1,<2"
    """Versions of the plugin API (`acme.API_VERSION`) it works with."""
