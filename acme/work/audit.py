"""Audit records: what a call leaves in the audit log, made of its contract and of what is known of the call.

Nobody writes them by hand. A method that writes leaves a record of every success, every refusal that was committed and every
denial; a method that reads, of every denial, and with `reads: true` of every success. Its contract says where that is
otherwise (`acme.options.v1.audit`).

- A success, and a refusal that is committed, are recorded in the unit of work they commit in: both are there, or neither.
- A denial is recorded after the rollback, in a transaction of its own. A denial is `Denied`, or another refusal after
  `authorise` has said no. What is refused for another reason (not there, in conflict, invalid) leaves nothing.
- A repetition that is answered from a stored outcome leaves nothing: the first one has.

A record is an event (`acme.audit.v1.AuditRecord`), so it reaches the bus as all events do. It names things by their ids and
fields by their names. The client's address is the only personal value in it.

An organisation's log holds what its own members, service accounts and the platform do. Whoever names an organisation it does
not belong to is recorded in a log of its own, or else strangers could fill the logs of others, and make logs of
organisations that do not exist.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from acme.context import Call, Decision, Kind
from acme.contract import Message, Method, Work
from acme.contracts.audit.v1 import Actor, AuditRecord, Category, Outcome, Target
from acme.contracts.audit.v1 import Decision as Decided
from acme.errors import Code, Refused
from acme.ids import new_id
from acme.ports import Clock
from acme.work import store

TOPIC: Final = "acme.audit.log"
"""Where audit records go."""

_ID: Final = re.compile(r"[a-z]{1,16}_[0-9a-z]{1,64}")
_VARIABLE: Final = re.compile(r"\{([a-z0-9_]+)\}")
_KINDS: Final = {"usr": Kind.USER, "sva": Kind.SERVICE_ACCOUNT}

Values = Callable[[Any], Iterator[str]]
"""The texts in a field of a message."""


class About(NamedTuple):
    """What a handler said of its call: see `acme.audit.about`."""

    organization: str
    target: str
    actor: str
    subject: str
    changes: tuple[str, ...]


class Writer(NamedTuple):
    """Whose records they are."""

    service: str
    version: str
    region: str
    clock: Clock


class Trail:
    """What one method leaves, compiled from its contract."""

    __slots__ = ("action", "category", "mask", "organization", "reads", "targets")

    def __init__(self, method: Method) -> None:
        self.action: Final = method.path[1:]
        self.reads: Final = method.audit.reads and method.work is Work.NONE
        reading = method.work is Work.NONE or method.audit.reads
        self.category: Final = Category.READ if reading else Category.WRITE
        self.targets: Final = tuple(_targets(method))
        self.mask: Final = _mask(method.request)
        names = any(field.name == "organization_id" for field in method.request.fields)
        self.organization: Final = (
            _values(method.request, ["organization_id"]) if names and not method.client_streaming else None
        )

    def entry(self, call: Call, message: Any) -> Entry:
        """The record of one call, to be written once. `message` is the request, `None` where it is a stream."""
        return Entry(self, call, message)


class Entry:
    """What a call owes to the audit log."""

    __slots__ = ("_message", "call", "reply", "trail", "written")

    def __init__(self, trail: Trail, call: Call, message: Any) -> None:
        self.trail: Final = trail
        self.call: Final = call
        self._message = message
        self.reply: Any = None
        """What the handler returned; `None` before."""
        self.written = False
        """Whether a record of it is committed."""

    def asked(self, message: Any) -> None:
        """The request, where it came after the call."""
        self._message = message

    def record(self, writer: Writer, outcome: Outcome, reason: str, events: Sequence[store.Event]) -> AuditRecord:
        """The record of this outcome. `events` are committed with it."""
        call, noted = self.call, self.call.noted
        principal = call.principal
        decisions = [note for note in dict.fromkeys(noted) if type(note) is Decision]
        said = [note for note in noted if type(note) is About]
        actor = next((note.actor for note in said if note.actor), "")
        subject = next((note.subject for note in said if note.subject), actor)
        if not subject and principal.kind is Kind.USER:
            subject = principal.id
        now = writer.clock.now()
        return AuditRecord(
            id=new_id("aud", writer.clock),
            organization_id=self._organization(said, decisions, events),
            region=writer.region,
            occurred_at=now,
            action=self.trail.action,
            category=self.trail.category,
            outcome=outcome,
            reason=reason,
            actor=Actor(
                kind=_KINDS.get(actor.partition("_")[0], Kind.USER) if actor else principal.kind,
                id=actor or principal.id,
                session_id=principal.session,
                service=call.service,
            ),
            decisions=[Decided(permission=p, resource=r, role=role, granted=ok) for p, r, role, ok in decisions],
            targets=self._targets(said),
            changes=self._changes(said),
            address=call.address,
            request_id=call.request_id,
            trace_id=trace_id(call.caused),
            service=writer.service,
            service_version=writer.version,
            event_ids=[event.id for event in events],
            subject_id=subject if subject.startswith("usr_") else "",
        )

    def _organization(self, said: Sequence[About], decisions: Sequence[Decision], events: Sequence[store.Event]) -> str:
        """Whose log it belongs to. What the caller names counts when it belongs there."""
        for about in said:
            if about.organization:
                return about.organization
        principal = self.call.principal
        member, trusted = principal.memberships, principal.kind is Kind.SERVICE
        for decision in decisions:
            name = decision.resource
            if name in member or (trusted and name.startswith("org_")):
                return name
        values, message = self.trail.organization, self._message
        if values is not None and message is not None:
            for name in values(message):
                if name in member or (trusted and name):
                    return name
        for event in events:
            if event.organization:
                return event.organization
        return getattr(self.reply, "organization_id", "") or principal.organization

    def _targets(self, said: Sequence[About]) -> list[Target]:
        found = [about.target for about in said if about.target]
        for of_reply, values in self.trail.targets:
            message = self.reply if of_reply else self._message
            if message is not None:
                found += [value for value in values(message) if _ID.fullmatch(value)]
        return [Target(kind=name.partition("_")[0], id=name) for name in dict.fromkeys(found)]

    def _changes(self, said: Sequence[About]) -> list[str]:
        named = [name for about in said for name in about.changes]
        mask, message = self.trail.mask, self._message
        if mask is not None and message is not None:
            attr, fields = mask
            value = getattr(message, attr)
            # A denied request was looked at by nobody: what is no field's name may be anything.
            named += [path for path in (value.paths if value is not None else ()) if path in fields]
        return list(dict.fromkeys(named))


def trail_of(method: Method) -> Trail | None:
    """What a method leaves; `None` where its contract says that it leaves nothing."""
    return None if method.audit.none else Trail(method)


def denies(call: Call, refusal: Refused) -> bool:
    """Whether a refusal is a denial: somebody may not do this, or may not know of it."""
    if refusal.code is Code.DENIED:
        return True
    return refusal.code in _SAID_NO and any(type(note) is Decision and not note.granted for note in call.noted)


_SAID_NO: Final = frozenset((Code.NOT_FOUND, Code.UNAUTHENTICATED))


def trace_id(traceparent: str) -> str:
    """The trace id of a W3C traceparent, "" where there is none."""
    parts = traceparent.split("-")
    return parts[1] if len(parts) >= 4 and len(parts[1]) == 32 else ""


def of_system(
    writer: Writer,
    action: str,
    *,
    organization: str,
    targets: Sequence[str],
    changes: Sequence[str],
    outcome: Outcome,
    reason: str,
    subject: str,
    operator: str,
) -> AuditRecord:
    """The record of what nobody asked for, or of what an operator did past the API (`operator`)."""
    return AuditRecord(
        id=new_id("aud", writer.clock),
        organization_id=organization,
        region=writer.region,
        occurred_at=writer.clock.now(),
        action=action,
        category=Category.OPERATOR if operator else Category.SYSTEM,
        outcome=outcome,
        reason=reason,
        actor=Actor(kind="operator", id=operator) if operator else Actor(kind=Kind.SERVICE, id=writer.service),
        targets=[Target(kind=name.partition("_")[0], id=name) for name in dict.fromkeys(targets)],
        changes=list(changes),
        service=writer.service,
        service_version=writer.version,
        subject_id=subject,
    )


def share(records: Sequence[AuditRecord], events: Sequence[store.Event]) -> None:
    """Says in each of several records of one unit of work which events it is about: those of its targets, else those of its
    organisation, else all. So the log of one organisation names nothing of another's, and a job that does a hundred things
    at once leaves no hundred lists of a hundred events; and no event is left without a record."""
    of_target: dict[str, list[AuditRecord]] = {}
    of_organization: dict[str, list[AuditRecord]] = {}
    for record in records:
        record.event_ids = []
        of_organization.setdefault(record.organization_id, []).append(record)
        for target in record.targets:
            of_target.setdefault(target.id, []).append(record)
    for event in events:
        aggregate = event.key.partition(":")[2]
        for record in of_target.get(aggregate) or of_organization.get(event.organization) or records:
            record.event_ids.append(event.id)


def _targets(method: Method) -> Iterator[tuple[bool, Values]]:
    """(whether it is in the reply, the texts of a field) for all that names what a method is about."""
    named = method.audit.targets
    if not named:
        named = tuple(_VARIABLE.findall(method.routes[0].template)) if method.routes else ()
        if any(field.name == "id" for field in method.reply.fields):
            named += ("reply.id",)
    for name in named:
        first, *rest = name.split(".")
        if first == "reply":
            if not method.server_streaming:
                yield True, _values(method.reply, rest)
        elif not method.client_streaming:
            yield False, _values(method.request, [first, *rest])


def _values(message: Message, path: Sequence[str]) -> Values:
    """Reads the texts at a path.

    Raises:
        ValueError: it leads to no field.
    """
    attrs: list[str] = []
    here: Message | None = message
    for name in path:
        field = next((field for field in here.fields if field.name == name), None) if here is not None else None
        if field is None:
            raise ValueError(f"{message.name}: {'.'.join(path)!r} is no field")
        attrs.append(field.attr)
        here = field.message

    def values(value: Any) -> Iterator[str]:
        for attr in attrs:
            value = getattr(value, attr)
            if value is None:
                return
        for one in value if isinstance(value, list) else (value,):
            if isinstance(one, str):
                yield one

    return values


def _mask(message: Message) -> tuple[str, frozenset[str]] | None:
    """(attribute of a PATCH's field mask, names of the fields that it may name)."""
    name = message.mask
    if not name:
        return None
    attr = next(field.attr for field in message.fields if field.name == name)
    return attr, frozenset(field.name for field in message.fields)
