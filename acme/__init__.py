"""The Acme Platform: the backend of a SaaS product as one program, and many pods without a changed line.

    A service is a class that keeps a contract. Callers hold the contract. Only the runtime knows whether that is the
    object or a wire.

REST routes, OpenAPI, permissions, validation, metrics and events are projections of the contract, never extra layers
beside it. This module is the whole vocabulary of a plugin author; everything below is the platform's own affair.

The floors, imports only downward; rooms on one floor are strangers (import-linter keeps it so, in `make check`):

    cli | testing | client                arguments → runtime; the test kit; the REST API from Python
    runtime                               entry points, assembly, migrations: the only one that sees drivers
    gateway | dispatch | bus | drivers    HTTP edge · contract calls · events · one home a technology
    plugin                                what a plugin declares
    work | archives                       unit of work: transaction, outbox rows, deliveries, idempotency as one · events
                                          that are kept for good
    tokens | codec | config               access tokens · JSON, wire and rules compiled from contracts · settings
    ports                                 what we ask of the outside world (with ids, authorise, filters and pages)
    gcra                                  how much of something a key may have: arithmetic alone
    contract                              descriptors → Service, Method, Message, Field
    tasks → telemetry → context → traces → errors → contracts (generated)

The way of a request: `gateway/app.py` (route, limits, token, scope, decode) → `dispatch/local.py` → the plugin's
`service.py` → its `store.py` → `drivers/postgres.py`, and back through the encoder or `gateway/problems.py`. `work`
commits what the handler wrote together with its events, audit record, deliveries and idempotency record, or none of it.

The way of an event: `events.add` → the outbox of the plugin's own database → `bus/relay.py` → the bus (`drivers/log`,
`drivers/kafka`) → `bus/consumer.py` in whichever process hosts a plugin that hears it. Audit records go the same way.
"""

from acme import filters
from acme.archives import ArchiveBroken, Archived, archived
from acme.authorise import Scope, authorise
from acme.codec.avro import Upcaster
from acme.context import Principal, current
from acme.errors import (
    Conflict,
    Denied,
    Exhausted,
    Fault,
    Invalid,
    Malformed,
    NotFound,
    Refused,
    Stale,
    Unauthenticated,
    Unavailable,
)
from acme.ids import new_id
from acme.pages import Pages, page_size
from acme.plugin import (
    Archive,
    Command,
    Consumer,
    Delivery,
    Event,
    Job,
    NoSettings,
    Plugin,
    Replicas,
    Resources,
    TokenProfile,
)
from acme.ports import (
    Cache,
    Cipher,
    Clock,
    Directory,
    ObjectExists,
    ObjectMissing,
    ObjectStore,
    Row,
    Statements,
    UniqueViolation,
)
from acme.telemetry import logger
from acme.work import Attempt, audit, deliver, events, mail, work

API_VERSION = "1.0"
"""Version of this vocabulary; a plugin states the versions it works with (`Plugin.api`)."""

__all__ = [
    "API_VERSION",
    "Archive",
    "ArchiveBroken",
    "Archived",
    "Attempt",
    "Cache",
    "Cipher",
    "Clock",
    "Command",
    "Conflict",
    "Consumer",
    "Delivery",
    "Denied",
    "Directory",
    "Event",
    "Exhausted",
    "Fault",
    "Invalid",
    "Job",
    "Malformed",
    "NoSettings",
    "NotFound",
    "ObjectExists",
    "ObjectMissing",
    "ObjectStore",
    "Pages",
    "Plugin",
    "Principal",
    "Refused",
    "Replicas",
    "Resources",
    "Row",
    "Scope",
    "Stale",
    "Statements",
    "TokenProfile",
    "Unauthenticated",
    "Unavailable",
    "UniqueViolation",
    "Upcaster",
    "archived",
    "audit",
    "authorise",
    "current",
    "deliver",
    "events",
    "filters",
    "logger",
    "mail",
    "new_id",
    "page_size",
    "work",
]
