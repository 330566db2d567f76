"""The words of a plugin author: `work`, `events`, `mail` and `deliver`. They act on the unit of work they are used in."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final

import msgspec

from acme.contract import Work
from acme.errors import Refused
from acme.ports import Mail
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
            ValueError: it is no event, its key is empty, or the wire cannot carry it.
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

events: Final = _Events()
mail: Final = _Mail()
