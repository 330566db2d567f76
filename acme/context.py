"""Who calls, until when, and under which names: one ContextVar for all of it.

The gateway (or the gRPC server) makes the first `Call`; every dispatch gives the callee a `Call` of its own, in a fresh
`contextvars.Context`, so that nothing but this record passes from caller to callee, in any placement.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from acme.traces import Trace


class Kind(StrEnum):
    """What a principal is."""

    ANONYMOUS = "anonymous"
    USER = "user"
    SERVICE = "service"
    SERVICE_ACCOUNT = "service_account"
    """A program that belongs to an organisation, with an access token of its own."""


@dataclass(frozen=True, slots=True)
class Membership:
    """What a principal is in one organisation."""

    role: str
    """A built-in role (`acme.contract.ROLES`), or the id of a custom one, "rol_…"."""
    permissions: frozenset[str] = frozenset()
    """Of a custom role: what it includes. Empty for a built-in one."""
    default_role: str = ""
    """Built-in role on those resources of the organisation that have members of their own; "" for none."""
    teams: tuple[str, ...] = ()
    """Ids of the teams of the organisation that the principal belongs to."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who somebody is, as far as it was proved. The same fields in every placement."""

    kind: Kind
    id: str
    """`usr_…` for a user, `sva_…` for a service account, `ext_…` for whom another issuer vouches, the plugin's name for a
    service, "" for nobody."""
    session: str = ""
    """`ses_…`, or `pat_…` where the access token is one of those that are made for programs."""
    scopes: frozenset[str] = frozenset()
    """Permissions the token covers; "*" covers all."""
    organization: str = ""
    """The personal organisation; a service account's own; the first of those that another issuer names."""
    memberships: Mapping[str, Membership] = field(default_factory=dict)
    """Organisation id → what it is there, as of a second ago at most. Never mutated."""
    region: str = ""
    epoch: int = 0
    expires_at: float = 0.0
    """Seconds since the Unix epoch at which all this has to be asked for again; 0 for a principal without a token."""
    authenticated_at: float = 0.0
    """When somebody last proved with password or the like to be it, in seconds since the Unix epoch; 0 where nobody logs in,
    as with a personal access token."""
    issuer: str = ""
    """Who vouches for it: an issuer's name in `[tokens.issuers]`, "" for this platform, which then knows it by its id."""

    def covers(self, permission: str) -> bool:
        """Whether the token's scopes cover `permission`. Says nothing of any resource."""
        return "*" in self.scopes or permission in self.scopes


ANONYMOUS: Final = Principal(Kind.ANONYMOUS, "")


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """An Idempotency-Key as it travels with a call (draft-ietf-httpapi-idempotency-key-header)."""

    key: str
    fingerprint: bytes
    """SHA-256 of the request message's wire bytes; `work.py` keeps only an HMAC of it."""


class Decision(NamedTuple):
    """What `authorise` said of a call."""

    permission: str
    resource: str
    """What was asked about, "" for the caller's own."""
    role: str
    """What it rests on: a role, "own", or "" where nothing allowed it."""
    granted: bool


@dataclass(slots=True)
class Call:
    """One call, as its callee sees it. Only the pipeline in `dispatch` makes and marks it."""

    method: str
    """`package.Service/Method`."""
    principal: Principal
    request_id: str
    deadline: float
    """`time.monotonic()` of this process at which the answer is worthless."""
    service: str = ""
    """Name of the calling service ("gateway" for requests from outside)."""
    address: str = ""
    """IP address of the client at the edge, "" when there is none."""
    traceparent: str = ""
    """W3C trace context that came with the call, "" when there is none; what goes on with it is `caused`."""
    idempotency: IdempotencyKey | None = None
    permission: str = ""
    """Permission that the contract demands; "" for public and internal methods."""
    decided: bool = False
    """Whether `authorise` was asked. A method with a permission that returns undecided fails closed."""
    seen: int = 0
    """Number of the authority's last change when the caller was let in: who serves the call knows it too before it decides
    (`acme.tokens`). 0 where nobody was let in with a token."""
    roles: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Permission → the least built-in role that includes it, of all contracts that this process knows."""
    credentials: str = field(default="", repr=False)
    """The access token that proves a user, "" when there is none: it goes along wherever the call leads, so that another
    process verifies it again."""
    noted: tuple[object, ...] = ()
    """What its audit record will say of it: each `Decision`, and what the handler adds (`acme/work/audit.py`)."""
    trace: Trace | None = field(default=None, repr=False, compare=False)
    """Where its steps are recorded; None where nobody records."""
    span: int = field(default=1, repr=False, compare=False)
    """Its number there, and that of the step that made the call."""
    parent: int = field(default=0, repr=False, compare=False)

    @property
    def caused(self) -> str:
        """W3C trace context for what this call causes; "" when it is in no trace."""
        return self.traceparent if self.trace is None else self.trace.traceparent(self.span)


CALL: Final[ContextVar[Call]] = ContextVar("acme.call")


def current() -> Call:
    """The call being served.

    Raises:
        LookupError: outside of any call, such as in a job.
    """
    return CALL.get()
