"""Unit of work: what a handler writes commits together with its events, deliveries and idempotency record, or not at all.

A method declares how it uses its service's database (`acme.options.v1.work`):

- NONE: every statement borrows a connection for itself; nothing is written. Reads.
- AUTO: the first statement opens one transaction, which commits when the handler returns and rolls back when it raises.
  A handler without statements opens none.
- MANUAL: the handler opens short transactions, `async with work():`, around what belongs together, and does slow things
  (hashing, calls to other services) between them. The one with `last=True` commits when the handler returns, so that
  it can hold the idempotency record with the reply.

Jobs and deliveries, which run outside of any call, work as MANUAL does, and there `last` changes nothing.

    async def archive(self, message):                  # AUTO
        row = await self._store.lock(message.id)       # BEGIN; SELECT … FOR UPDATE
        authorise("projects.archive", owner=row.owner_id)
        await self._store.archive(message.id)
        events.add(ProjectArchived(project_id=message.id))
        mail.add(to=row.owner_email, subject="Archived", text="…")
        return reply                                   # one INSERT for all that was added; COMMIT

Three things follow from the transaction, and hold in every placement. A refusal rolls back, unless it says
`Refused(commit=True)`: then what was written stays, and the caller is refused all the same. Inside a unit of work nothing
is called but the own database: `dispatch` refuses calls to other services. Time comes from the Clock, never from SQL.

- `facade.py`: `work`, `events`, `mail`, `deliver`, `audit`: the words of a plugin author.
- `unit.py`: the transaction. `factory.py`: the `Statements` a service gets, and how a call runs in its unit.
- `audit.py`: a call and its outcome → a record of the audit log, which is one more event.
- `outbox.py`: a message → a row of the outbox.
- `idempotency.py`: what is kept for an Idempotency-Key, and its replay.
- `deliveries.py`: the claim loop that carries out what a commit asked for, and the housekeeping.
- `store.py`: all SQL. The tables are in `acme/migrations/`, schema `acme` of every service's own database.
"""

from acme.work.audit import Entry, Trail, denies, trace_id, trail_of
from acme.work.deliveries import Attempt, Deliveries, Handler, send_mail
from acme.work.facade import audit, deliver, events, mail, work
from acme.work.factory import Carrier, UnitFactory
from acme.work.unit import HERE, Scope, Unit

__all__ = [
    "HERE",
    "Attempt",
    "Carrier",
    "Deliveries",
    "Entry",
    "Handler",
    "Scope",
    "Trail",
    "Unit",
    "UnitFactory",
    "audit",
    "deliver",
    "denies",
    "events",
    "mail",
    "send_mail",
    "trace_id",
    "trail_of",
    "work",
]
