"""Faults on the way of a call, for tests: `Platform.start(..., fault="crash")`, or `acme plugin test` for all of them.

"clean"       nothing happens
"duplicated"  every call that may be repeated is sent twice, and the second reply has to equal the first. A method declared
              idempotent is sent again as it is; any other call of a user gets an Idempotency-Key, unless it has one
"slow"        request and reply take their time, well below the deadline
"crash"       PostgreSQL ends the connection of transactions that wrote something, most of them once, in their COMMIT and
              before anything is durable; the call is repeated, as a client would

What streams has the same faults, as far as a caller could mean them:

"duplicated"  a method declared idempotent whose replies are a stream is called again once they were read to their end, and
              has to answer the same; no stream of requests is sent twice, since no key makes that safe
"slow"        the call, its first reply and its end take their time
"crash"       a call that failed before its first reply is repeated. For this, a stream of requests with a single reply is
              read whole before it is sent, and refused when it has more than 1,000 messages. Once there was a reply, or
              where both sides stream, nobody could repeat it: the test gets what a caller gets, `Unavailable`

A fault lies around the placement, so that it is the same in each; the crash happens in the database itself. What a test sees
is what it sees without faults: a service that a fault can be told from has done something outside of its unit of work.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final, Literal, TypeAlias

from acme.context import Call, IdempotencyKey, Kind
from acme.contract import Method, Work
from acme.dispatch.directory import Around
from acme.dispatch.messages import Messages
from acme.dispatch.serve import Serve
from acme.dispatch.streams import Streamed
from acme.errors import Refused, Unavailable
from acme.ports import Statements

Fault: TypeAlias = Literal["clean", "duplicated", "slow", "crash"]

DELAY: Final = 0.02
"""Seconds that a slow call waits, each way."""
REPEATS: Final = 8
"""How often a call is made at most whose transactions crash; several at a time may take each other's turn."""

KEPT: Final = 1000
"""Messages of a stream that are kept at most to be sent again."""

_LOST: Final = frozenset({"unavailable", "outcome_unknown"})
"""Reasons of an `Unavailable` that a lost connection has."""


def around(fault: Fault) -> Around:
    """What `Directory.wrap` takes."""
    faults: dict[Fault, type[Around]] = {"clean": _Clean, "duplicated": _Duplicated, "slow": _Slow, "crash": _Repeated}
    return faults[fault]()


class _Clean:
    """Nothing."""

    def call(self, method: Method, send: Serve) -> Serve:
        return send

    def stream(self, method: Method, send: Streamed) -> Streamed:
        return send


class _Slow:
    """Takes its time."""

    def call(self, method: Method, send: Serve) -> Serve:
        async def slowly(call: Call, message: Any) -> Any:
            delay = self._delay(call)
            await asyncio.sleep(delay)
            reply = await send(call, message)
            await asyncio.sleep(delay)
            return reply

        return slowly

    def stream(self, method: Method, send: Streamed) -> Streamed:
        async def slowly(call: Call, requests: Messages) -> AsyncGenerator[Any, None]:
            delay, begun = self._delay(call), False
            await asyncio.sleep(delay)
            async with aclosing(send(call, requests)) as replies:
                async for reply in replies:
                    if not begun:
                        await asyncio.sleep(delay)
                    begun = True
                    yield reply
            await asyncio.sleep(delay)

        return slowly

    @staticmethod
    def _delay(call: Call) -> float:
        return max(0.0, min(DELAY, (call.deadline - time.monotonic()) / 4))


class _Repeated:
    """Calls again when the connection to PostgreSQL was lost."""

    def call(self, method: Method, send: Serve) -> Serve:
        async def until_it_stands(call: Call, message: Any) -> Any:
            for _ in range(REPEATS - 1):
                try:
                    return await send(dataclasses.replace(call), message)
                except Unavailable as error:
                    if error.reason not in _LOST:
                        raise
            return await send(call, message)

        return until_it_stands

    def stream(self, method: Method, send: Streamed) -> Streamed:
        if method.client_streaming and method.server_streaming:
            return send

        async def until_it_stands(call: Call, requests: Messages) -> AsyncGenerator[Any, None]:
            kept = [message async for message in _bounded(method, requests)]
            for attempt in range(1, REPEATS + 1):
                begun = False
                try:
                    async with aclosing(send(dataclasses.replace(call), Messages.of(kept))) as replies:
                        async for reply in replies:
                            begun = True
                            yield reply
                    return
                except Unavailable as error:
                    if begun or attempt == REPEATS or error.reason not in _LOST:
                        raise

        return until_it_stands


async def _bounded(method: Method, requests: Messages) -> AsyncGenerator[Any, None]:
    """The requests of a stream.

    Raises:
        AssertionError: they are too many to be kept.
    """
    count = 0
    async for message in requests:
        count += 1
        if count > KEPT:
            raise AssertionError(
                f'{method.path[1:]} is sent more than {KEPT} messages, which the fault "crash" does not keep to send them'
                " again: send fewer, or test it without this fault"
            )
        yield message


class _Duplicated:
    """Sends twice, and compares."""

    def __init__(self) -> None:
        self._writing = 0
        """Calls under way that may change something."""
        self._begun = 0
        """Such calls so far."""

    def stream(self, method: Method, send: Streamed) -> Streamed:
        if method.client_streaming or not method.idempotent:
            return send

        async def twice(call: Call, requests: Messages) -> AsyncGenerator[Any, None]:
            message = await anext(requests)
            alone, begun, first = not self._writing, self._begun, _Sum()
            async with aclosing(send(dataclasses.replace(call), Messages.of([message]))) as replies:
                async for reply in replies:
                    first.add(reply)
                    yield reply
            second = _Sum()
            async with aclosing(send(dataclasses.replace(call), Messages.of([message]))) as replies:
                async for reply in replies:
                    second.add(reply)
            if alone and begun == self._begun and first != second:
                raise AssertionError(f"{method.path[1:]} was sent twice and answered {first}, then {second}")

        return twice

    def call(self, method: Method, send: Serve) -> Serve:
        writes = method.work is not Work.NONE

        async def twice(call: Call, message: Any) -> Any:
            keyed = call if method.idempotent or call.idempotency else _with_key(method, call, message)
            alone = not self._writing
            self._writing += writes
            self._begun += writes
            begun = self._begun
            try:
                first = await send(call if keyed is None else dataclasses.replace(keyed), message)
                if keyed is None:
                    return first
                try:
                    second = await send(dataclasses.replace(keyed), message)
                except Refused as refusal:
                    second = refusal
            finally:
                self._writing -= writes
            # What others changed meanwhile may show, unless the second reply is a stored one.
            if (keyed.idempotency or (alone and begun == self._begun)) and not _equal(first, second):
                raise AssertionError(f"{method.path[1:]} was sent twice and answered {first!r}, then {second!r}")
            return first

        return twice


class _Sum:
    """What all replies of a stream were, in little memory."""

    def __init__(self) -> None:
        self._count, self._hash = 0, hashlib.sha256()

    def add(self, reply: Any) -> None:
        content = bytes(_without_seal(reply))
        self._count += 1
        self._hash.update(b"%d\n%b" % (len(content), content))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Sum) and self._hash.digest() == other._hash.digest()

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __str__(self) -> str:
        return f"{self._count} replies ({self._hash.hexdigest()[:8]})"


def _with_key(method: Method, call: Call, message: Any) -> Call | None:
    """The call with a key of its own, as a client sends one that wants to be safe; `None` where a key means nothing."""
    outside = call.service == "gateway" and call.principal.kind is Kind.USER
    if not outside or method.secret_reply or method.work is Work.NONE:
        return None
    key = IdempotencyKey(f"twice-{secrets.token_hex(8)}", hashlib.sha256(bytes(message)).digest())
    return dataclasses.replace(call, idempotency=key)


def _equal(first: Any, second: Any) -> bool:
    first, second = _without_seal(first), _without_seal(second)
    return type(first) is type(second) and (first == second or bytes(first) == bytes(second))  # NaN differs from itself


def _without_seal(reply: Any) -> Any:
    """A page token is sealed anew each time; that there is one has to stay."""
    if not getattr(reply, "next_page_token", ""):
        return reply
    return dataclasses.replace(reply, next_page_token="…")  # noqa: S106 - stands for any token


# A deferred trigger runs inside COMMIT. What a sequence counted stays counted when the transaction is gone, so every other
# transaction is spared: the one that was ended, repeated. A call of several transactions would never come to its end like
# that: its first is spared, its second is not, and it begins again. So after twelve turns, four in a row are spared. The
# setting lives as long as its transaction.
_CRASH: Final = """
CREATE SCHEMA acme_faults;
CREATE SEQUENCE acme_faults.turns;
CREATE FUNCTION acme_faults.crash() RETURNS trigger LANGUAGE plpgsql AS $crash$
DECLARE turn bigint;
BEGIN
    IF current_setting('acme_faults.spared', true) IS DISTINCT FROM 'yes' THEN
        turn := (nextval('acme_faults.turns') - 1) % 16;
        IF turn < 12 AND turn % 2 = 0 THEN
            PERFORM pg_terminate_backend(pg_backend_pid());
            PERFORM pg_sleep(60);
        END IF;
        PERFORM set_config('acme_faults.spared', 'yes', true);
    END IF;
    RETURN NULL;
END
$crash$;
DO $install$
DECLARE name regclass;
BEGIN
    FOR name IN
        SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
        UNION SELECT 'acme.outbox'::regclass UNION SELECT 'acme.idempotency'::regclass
    LOOP
        EXECUTE format('CREATE CONSTRAINT TRIGGER acme_faults_crash AFTER INSERT OR UPDATE OR DELETE ON %s DEFERRABLE '
            'INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION acme_faults.crash()', name);
    END LOOP;
END
$install$;
"""


async def arm(database: Statements) -> None:
    """From now on, every other transaction that writes into this database loses its connection in its COMMIT, but for four
    in a row now and then."""
    await database.execute(_CRASH)


async def crashes(database: Statements) -> int:
    """How many transactions `arm` has ended so far."""
    turns = await database.fetchval("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM acme_faults.turns")
    rounds, rest = divmod(int(turns), 16)
    return rounds * 6 + (min(rest, 12) + 1) // 2
