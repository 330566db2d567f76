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
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, Literal, TypeVar

import msgspec

from acme.codec.avro import Upcaster
from acme.pages import Pages
from acme.ports import Cache, Cipher, Clock, Directory, ObjectStore, Statements
from acme.work import Attempt

SettingsT = TypeVar("SettingsT", covariant=True)
MessageT = TypeVar("MessageT", covariant=True)


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
    archive: ObjectStore
    """Where archives are kept (`[archive] url`)."""
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


@dataclass(frozen=True, slots=True)
class Event(Generic[MessageT]):
    """One event, as a consumer hears it."""

    message: MessageT
    id: str
    """`evt_…`: the same at every attempt, whoever hears it."""
    source: str
    """Plugin whose unit of work announced it."""
    occurred_at: datetime
    """When that unit of work committed."""
    organization: str
    """Organisation the aggregate belongs to, "" for none."""
    aggregate: str
    """What the events are ordered by, within its organisation."""
    principal_kind: str
    principal_id: str
    """Who caused it."""
    request_id: str
    traceparent: str
    """In which request, "" for none."""
    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Consumer:
    """Hears events of some kinds, in order for each aggregate, and acts on the plugin's own database.

    `handler` gets the plugin's resources and an `Event`, inside a unit of work that also notes that the event was heard: its
    effect on the database happens once, however often the event is delivered. Nothing else belongs inside; for the outside
    world there is `deliver`, and `events.add` for what follows from it. It raises to be tried again, after a growing pause;
    after `attempts`, or when it hangs for longer than `timeout` seconds as often, the event and those of the same aggregate
    that follow are set aside for a person (`acme events dlq`), and all others go on.

    With `batch` above 1 the handler gets a list of up to so many events in one unit of work; one that fails is repeated one
    by one.
    """

    name: str
    """Its group on the bus is `PLUGIN.NAME`: another name begins anew."""
    messages: tuple[type, ...]
    """The messages it wants: events of any contract."""
    handler: Callable[[Resources[Any], Any], Awaitable[None]]
    batch: int = 1
    attempts: int = 5
    timeout: float = 30.0
    start: Literal["earliest", "latest"] = "earliest"
    """Where it begins when it is new."""


@dataclass(frozen=True, slots=True)
class Archive:
    """Keeps every event of one message's topic in the object store, for good (`acme/bus/archiver.py`).

    `seal` gets the plugin's resources and events in their order, some of a file at a time, and returns what is written in
    their place: messages of the same type, such as with personal data encrypted. It must always return the same for the same
    event, but that fields marked `pii` may become empty once their key is destroyed. Records of other types, and those that
    cannot be decoded, are kept as they are. A plugin archives a topic once; `acme.archived` reads it back.
    """

    message: type
    seal: Callable[[Resources[Any], Sequence[Event[Any]]], Awaitable[Sequence[Any]]]


@dataclass(frozen=True, slots=True)
class Command:
    """A command for operators: `acme PLUGIN NAME [ARGUMENT…]`, with the plugin's database and without serving anything.

    `run` gets the plugin's resources and the arguments, prints, and returns the exit status. Argument "--help" is its own
    to answer (argparse does).
    """

    name: str
    help: str
    """One line."""
    run: Callable[[Resources[Any], Sequence[str]], Awaitable[int]]


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
    consumers: tuple[Consumer, ...] = ()
    upcasters: tuple[Upcaster, ...] = ()
    """Of its own events, wherever they are heard."""
    archives: tuple[Archive, ...] = ()
    commands: tuple[Command, ...] = ()
    api: str = ">=1,<2"
    """Versions of the plugin API (`acme.API_VERSION`) it works with."""
