"""The words of a plugin author: `work`, `events`, `mail`, `deliver`, `audit`. They act on the unit of work around them."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final

import msgspec

from acme.context import current
from acme.contract import Work
from acme.contracts.audit.v1 import Outcome
from acme.errors import Refused
from acme.ports import Mail
from acme.work.audit import About, of_system
from acme.work.unit import HERE, READING, Scope, Unit


def work(*, last: bool = False) -> Block:
    """A transaction of the own database, in a MANUAL method, a job or a delivery: `async with work():`.

    It begins at the first statement inside, commits at the end of the block, and rolls back when the block raises, unless
    that is `Refused(commit=True)`. Keep it short: nothing belongs inside but statements, `events`, `mail` and `deliver`.

    `last=True` in a call: the transaction commits when the handler returns, and holds the idempotency record with the
    reply. After that block a handler only builds its reply. A repetition of a request that has come so far, or was served
    meanwhile, ends where the block begins.

    Raises on entering:
        RuntimeError: inside another unit of work, in an AUTO or NONE method, or where there is no database.
    """
    return Block(last)


class Block:
    """What `work()` returns."""

    __slots__ = ("_last", "_scope", "_unit")

    def __init__(self, last: bool) -> None:
        self._last = last

    async def __aenter__(self) -> None:
        here = HERE.get(None)
        if not isinstance(here, Scope):
            raise RuntimeError(_NOWHERE if here is None else here.nested)
        self._scope = here
        self._unit = here.open()
        if self._last and here.claim is not None:
            try:
                await here.claim(self._unit)
            except BaseException as error:
                await self._unit.leave(error)
                raise
        HERE.set(self._unit)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and not (isinstance(error, Refused) and error.commit):
            HERE.set(self._scope)
            await self._unit.leave(error)
        elif isinstance(error, Refused) and not self._last:
            HERE.set(self._scope)
            self._unit.promise(Outcome.REFUSED, error.reason)
            await self._unit.finish()
        elif self._last and self._scope.call is not None:
            # HERE stays, so that a statement after it is refused instead of running outside of its transaction.
            self._unit.close("work(last=True) is the last of its call: nothing follows it but the reply")
            self._scope.pending = self._unit
        else:
            HERE.set(self._scope)
            await self._unit.finish()


class _Events:
    """`events`: announces facts to whoever listens, if and only if the unit of work commits."""

    def add(self, message: Any) -> None:
        """Adds an event; its message has `acme.options.v1.event`. It is encoded at once.

        Raises:
            ValueError: it is no event, its key is empty, or it has more than 1,000,000 bytes encoded.
            RuntimeError: not inside a unit of work.
        """
        _unit().announce(message)


class _Mail:
    """`mail`: e-mail that leaves after the commit."""

    def add(self, *, to: str, subject: str, text: str, links: Sequence[str] = ()) -> None:
        """Adds a mail, plain text; `links` are the addresses in it, for test kits and consoles.

        Raises:
            RuntimeError: not inside a unit of work.
        """
        unit = _unit()
        delivery = unit.new_delivery_id()
        unit.deliver(delivery, "mail", msgspec.json.encode(Mail(delivery, to, subject, text, tuple(links))))


class _Audit:
    """`audit`: what the audit log says. The record of a call is written by itself (`acme/work/audit.py`); this tells what
    only the handler knows, and records what happens outside of calls."""

    def about(
        self,
        *,
        organization: str = "",
        target: str = "",
        actor: str = "",
        subject: str = "",
        changes: Sequence[str] = (),
    ) -> None:
        """Adds to the record of the call being served, whatever becomes of it. Ids and names of fields, never a value that
        is personal or secret.

            audit.about(organization=project.organization_id)            # found out only now
            audit.about(actor=account.id, target=session.id)             # who logs in is nobody before

        `organization` is whose log it belongs to, `target` what it was done to, `actor` who did it where the caller is
        nobody yet, `subject` whose personal data (the address) the record holds where that is not the actor, and `changes`
        names of fields. Everywhere in a call, in a unit of work and outside.

        Raises:
            LookupError: outside of a call.
        """
        current().noted += (About(organization, target, actor, subject, tuple(changes)),)

    def done(self) -> None:
        """Puts the record of this call's success into this unit of work: for a MANUAL method whose effect is not in its
        `work(last=True)`. What the record says is known by then.

            async with work():
                session = await self._store.add_session(...)
                audit.about(actor=session.user_id, target=session.id)
                audit.done()

        Raises:
            RuntimeError: not inside a unit of work of a call.
        """
        unit = _unit()
        if unit.call is None:
            raise RuntimeError("there is no call here: use audit.add")
        unit.promise(Outcome.OK)

    def add(
        self,
        action: str,
        *,
        organization: str = "",
        targets: Sequence[str] = (),
        changes: Sequence[str] = (),
        outcome: Outcome = Outcome.OK,
        reason: str = "",
        subject: str = "",
        operator: str = "",
    ) -> None:
        """Records what no call asked for: in jobs, deliveries, consumers and commands. It commits with the unit of work it
        is used in, and names the events of that unit; where there are several records, those of its targets.

            async with work():                                            # the job that deletes for good
                await self._store.delete(project.id)
                events.add(ProjectPurged(project_id=project.id, ...))
                audit.add("projects.purge", organization=project.organization_id, targets=[project.id])

        `action` is a name of the service's own, such as "projects.purge"; `operator` is who did it past the API, such as the
        name of the account at the console, and "" where the platform did it by itself.

        Raises:
            RuntimeError: not inside a unit of work.
        """
        unit = _unit()
        record = of_system(
            unit.service.writer,
            action,
            organization=organization,
            targets=targets,
            changes=changes,
            outcome=outcome,
            reason=reason,
            subject=subject,
            operator=operator,
        )
        unit.record(record)


def deliver(kind: str, payload: bytes) -> None:
    """Asks for a delivery (`acme.Delivery`) after the commit. The payload is kept encrypted, and erased once delivered.

    Raises:
        ValueError: the plugin declares no delivery of this kind.
        RuntimeError: not inside a unit of work.
    """
    unit = _unit()
    unit.deliver(unit.new_delivery_id(), kind, payload)


def _unit() -> Unit:
    here = HERE.get(None)
    if isinstance(here, Unit):
        return here
    if here is None:
        raise RuntimeError(_NOWHERE)
    raise RuntimeError(READING if here.work is Work.NONE else "put it into a unit of work: `async with work():`")


_NOWHERE: Final = (
    "there is no unit of work here: this is for the calls, jobs and deliveries of a service with a database"
)

audit: Final = _Audit()
events: Final = _Events()
mail: Final = _Mail()
