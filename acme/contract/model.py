"""What a contract says, as frozen data: services, methods, messages, fields and their options."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor

ROLES: Final = ("guest", "viewer", "member", "admin", "owner")
"""Built-in roles, each of which includes those before it. A guest may read that an organisation exists, and leave it."""

EVERYBODY: Final = "*"
"""Among the callers of an internal method: any service that has proved its name."""


class Work(enum.Enum):
    """How a method uses its service's database; see `acme/work.py`."""

    NONE = "none"
    """Every statement stands alone; nothing is written."""
    AUTO = "auto"
    """One transaction, opened at the first statement and committed when the handler returns."""
    MANUAL = "manual"
    """The handler opens short transactions itself."""


class Format(enum.Enum):
    """Format of a string; the rules are in `protos/acme/options/v1/options.proto`."""

    EMAIL = "email"
    LINE = "line"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Rules:
    """Validation of one field: a plain mirror of `acme.options.v1.Rules`. None, "" and False say nothing."""

    required: bool = False
    min_length: int | None = None
    max_length: int | None = None
    max_bytes: int | None = None
    pattern: str = ""
    format: Format | None = None
    minimum: int | None = None
    maximum: int | None = None
    min_items: int | None = None
    max_items: int | None = None
    id: str = ""
    keys: Rules | None = None
    values: Rules | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """One REST route of a method, from `google.api.http`."""

    verb: str
    """Upper case, such as "GET"."""
    template: str
    """Such as "/v1/projects/{id}:archive"."""
    body: str
    """What the request body holds: "" nothing, "*" every field that is not in the path, else that one field."""


@dataclass(frozen=True, slots=True)
class Event:
    """What makes a message an event."""

    topic: str
    key: str
    """Name of the field whose value, the id of an aggregate, orders the events."""
    organization: str = ""
    """Path of the field that holds the organisation the aggregate belongs to, such as "project.organization_id"; "" for
    none."""


@dataclass(frozen=True, slots=True)
class Audit:
    """What a method leaves in the audit log: a plain mirror of `acme.options.v1.Audit`."""

    targets: tuple[str, ...] = ()
    """Fields that name what it was done to; empty: those in the path of the route, and the reply's "id"."""
    reads: bool = False
    """A method that only reads leaves a record of every success, too."""
    none: str = ""
    """Why it leaves no record at all; "" where it does."""


@dataclass(frozen=True, slots=True)
class Cache:
    """How long a reply may be kept by who got it: a plain mirror of `acme.options.v1.Cache`."""

    max_age: int
    """Seconds."""
    shared: bool = False
    """Whether caches that serve many may keep it."""


class Kind(enum.Enum):
    """Kind of a field's value, or of the entries of a repeated field."""

    BOOL = "bool"
    INT = "int"
    FLOAT = "float"
    STRING = "string"
    BYTES = "bytes"
    ENUM = "enum"
    MESSAGE = "message"


_F: Final = FieldDescriptor
_INT32: Final = (-(2**31), 2**31 - 1)
_INT64: Final = (-(2**63), 2**63 - 1)
_UINT32: Final = (0, 2**32 - 1)
_UINT64: Final = (0, 2**64 - 1)
INTEGERS: Final[Mapping[int, tuple[int, int]]] = {
    _F.TYPE_INT32: _INT32,
    _F.TYPE_SINT32: _INT32,
    _F.TYPE_SFIXED32: _INT32,
    _F.TYPE_INT64: _INT64,
    _F.TYPE_SINT64: _INT64,
    _F.TYPE_SFIXED64: _INT64,
    _F.TYPE_UINT32: _UINT32,
    _F.TYPE_FIXED32: _UINT32,
    _F.TYPE_UINT64: _UINT64,
    _F.TYPE_FIXED64: _UINT64,
}
"""Least and greatest value of each integer type on the wire."""

KINDS: Final[Mapping[int, Kind]] = {
    **dict.fromkeys(INTEGERS, Kind.INT),
    _F.TYPE_BOOL: Kind.BOOL,
    _F.TYPE_FLOAT: Kind.FLOAT,
    _F.TYPE_DOUBLE: Kind.FLOAT,
    _F.TYPE_STRING: Kind.STRING,
    _F.TYPE_BYTES: Kind.BYTES,
    _F.TYPE_ENUM: Kind.ENUM,
    _F.TYPE_MESSAGE: Kind.MESSAGE,
}


@dataclass(frozen=True, slots=True)
class Choice:
    """One value of an enum."""

    name: str
    """As in the contract and in JSON, such as "FORMAT_EMAIL"."""
    number: int
    comment: str


@dataclass(frozen=True, slots=True, eq=False)
class Choices:
    """An enum."""

    name: str
    """Full name, such as "acme.options.v1.Format"."""
    cls: Any
    """The generated class: an IntEnum that also takes numbers it has no name for."""
    values: tuple[Choice, ...]
    comment: str


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """A field of a message. Exactly one of `repeated`, `is_map`, `optional` and none of them is true."""

    name: str
    """As in the contract and in JSON."""
    attr: str
    """Attribute of the message class; differs from `name` where that is a Python keyword, for example."""
    kind: Kind
    """Of a map, MESSAGE; `key` and `value` say more."""
    descriptor: FieldDescriptor
    repeated: bool
    """A list. Never true of a map."""
    is_map: bool
    optional: bool
    """Tracks presence: None when absent. True of messages, of `optional` scalars and of members of a oneof."""
    oneof: str
    """Name of the oneof it belongs to, "" outside of one."""
    rules: Rules | None
    pii: bool
    secret: bool
    header: str
    """HTTP header it is filled from (in a request) or sent as (in a reply); "" for none."""
    example: str
    """What documentation shows for it, as JSON; "" when the contract leaves that to its reader, "null" for nothing."""
    comment: str
    message: Message | None = field(default=None, repr=False)
    """The type of a message or of a list of messages."""
    choices: Choices | None = field(default=None, repr=False)
    """The type of an enum or of a list of enums."""
    key: Field | None = field(default=None, repr=False)
    value: Field | None = field(default=None, repr=False)
    """Of a map: its keys and its values, as fields of one entry."""

    @property
    def condition(self) -> bool:
        """Whether a request has to name the version it is meant for in this field: a required If-Match."""
        return self.header.lower() == "if-match" and self.optional and self.rules is not None and self.rules.required

    @property
    def bounds(self) -> tuple[int, int]:
        """Least and greatest value the wire carries; only of integers."""
        return INTEGERS[self.descriptor.type]


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """A message type."""

    name: str
    """Full name, such as "acme.projects.v1.Project"."""
    cls: Any
    """The generated dataclass."""
    descriptor: Descriptor
    event: Event | None
    comment: str
    fields: tuple[Field, ...] = field(default=(), repr=False)
    """In the order of the contract."""

    @property
    def mask(self) -> str:
        """Name of its `google.protobuf.FieldMask` field, "" when it has none. A message with one is a PATCH."""
        return next((f.name for f in self.fields if f.message and f.message.name == FIELD_MASK and not f.repeated), "")

    @property
    def oneofs(self) -> Mapping[str, tuple[Field, ...]]:
        """Its oneofs by name; the presence of an `optional` scalar is none."""
        groups: dict[str, tuple[Field, ...]] = {}
        for f in self.fields:
            if f.oneof:
                groups[f.oneof] = (*groups.get(f.oneof, ()), f)
        return groups


FIELD_MASK: Final = "google.protobuf.FieldMask"
HTTP_BODY: Final = "google.api.HttpBody"


def raw_body(message: Message) -> Field | None:
    """The field of a message that holds raw bytes for HTTP; `None` when there is none, or more than one."""
    found = [f for f in message.fields if f.message is not None and f.message.name == HTTP_BODY]
    return found[0] if len(found) == 1 and not found[0].repeated else None


@dataclass(frozen=True, slots=True, eq=False)
class Method:
    """A method of a service."""

    name: str
    """Such as "GetProject"."""
    attr: str
    """Method of the stub and of the base, such as "get_project"."""
    path: str
    """gRPC path, such as "/acme.projects.v1.Projects/GetProject"."""
    service: str
    """Full name of its service."""
    request: Message
    reply: Message
    routes: tuple[Route, ...]
    permission: str
    """"" when the method is public or internal."""
    public: bool
    internal: frozenset[str] | None
    """Who may call it; None when it is not internal."""
    work: Work
    idempotent: bool
    """Calling twice has the effect of calling once: said so, or every route is a GET."""
    success_status: int
    """HTTP status."""
    rate_class: str
    secret_reply: bool
    role: str
    """The least built-in role that includes `permission`: one of `ROLES`."""
    step_up: bool
    """The caller must have logged in within the last `acme.authorise.STEP_UP` seconds."""
    changes_access: bool
    """It changes what verifiers of access tokens know, and announces so."""
    audit: Audit
    timeout: float | None
    """Seconds a request may take where the caller asks for no other time; None: as long as any other."""
    cost: int
    """How many requests it counts as for limits."""
    cache: Cache | None
    """None: no reply is kept."""
    client_streaming: bool
    server_streaming: bool
    comment: str


@dataclass(frozen=True, slots=True, eq=False)
class Service:
    """A service."""

    name: str
    """Full name, such as "acme.projects.v1.Projects"."""
    package: str
    """Import package its contract came from, such as "acme.contracts"."""
    file: str
    """Such as "acme/projects/v1/projects.proto"."""
    stub: type
    base: type
    methods: tuple[Method, ...]
    comment: str
