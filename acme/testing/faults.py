"""Faults on the way of a call, for tests: `Platform.start(..., fault="crash")`, or `acme plugin test` for all of them.

"clean"       nothing happens
"duplicated"  every call that may be repeated is sent twice, and the second reply has to equal the first. A method declared
              idempotent is sent again as it is; any other call of a user gets an Idempotency-Key, unless it has one
"slow"        request and reply take their time, well below the deadline
"crash"       PostgreSQL ends the connection of each transaction that wrote something once, in its COMMIT and before
              anything is durable; the call is repeated, as a client would

A fault lies around the placement, so that it is the same in each; the crash happens in the database itself. What a test sees
is what it sees without faults: a service that a fault can be told from has done something outside of its unit of work.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import secrets
import time
from collections.abc import Callable
from typing import Any, Final, Literal, TypeAlias

from acme.context import Call, IdempotencyKey, Kind
from acme.contract import Method, Work
from acme.dispatch.serve import Serve
from acme.errors import Refused, Unavailable
from acme.ports import Statements

Fault: TypeAlias = Literal["clean", "duplicated", "slow", "crash"]

DELAY: Final = 0.02
"""Seconds that a slow call waits, each way."""
REPEATS: Final = 8
"""How often a call is made at most whose transactions crash; several at a time may take each other's turn."""

_LOST: Final = frozenset({"unavailable", "outcome_unknown"})
"""Reasons of an `Unavailable` that a lost connection has."""


def around(fault: Fault) -> Callable[[Method, Serve], Serve]:
    """What `Directory.wrap` takes."""
    if fault == "duplicated":
        return _Duplicated()
    return {"clean": _clean, "slow": _slow, "crash": _repeated}[fault]


def _clean(method: Method, send: Serve) -> Serve:
    return send


def _slow(method: Method, send: Serve) -> Serve:
    async def slowly(call: Call, message: Any) -> Any:
        delay = max(0.0, min(DELAY, (call.deadline - time.monotonic()) / 4))
        await asyncio.sleep(delay)
        reply = await send(call, message)
        await asyncio.sleep(delay)
        return reply

    return slowly


def _repeated(method: Method, send: Serve) -> Serve:
    if method.client_streaming or method.server_streaming:
        return send

    async def until_it_stands(call: Call, message: Any) -> Any:
        for _ in range(REPEATS - 1):
            try:
                return await send(dataclasses.replace(call), message)
            except Unavailable as error:
                if error.reason not in _LOST:
                    raise
        return await send(call, message)

    return until_it_stands


class _Duplicated:
    """Sends twice, and compares."""

    def __init__(self) -> None:
        self._writing = 0
        """Calls under way that may change something."""
        self._begun = 0
        """Such calls so far."""

    def __call__(self, method: Method, send: Serve) -> Serve:
        if method.client_streaming or method.server_streaming:
            return send
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
# transaction is spared: the one that was ended, repeated. The setting lives as long as its transaction.
_CRASH: Final = """
CREATE SCHEMA acme_faults;
CREATE SEQUENCE acme_faults.turns;
CREATE FUNCTION acme_faults.crash() RETURNS trigger LANGUAGE plpgsql AS $crash$
BEGIN
    IF current_setting('acme_faults.spared', true) IS DISTINCT FROM 'yes' THEN
        IF nextval('acme_faults.turns') % 2 = 1 THEN
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
    """From now on, every other transaction that writes into this database loses its connection in its COMMIT."""
    await database.execute(_CRASH)


async def crashes(database: Statements) -> int:
    """How many transactions `arm` has ended so far."""
    turns = await database.fetchval("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM acme_faults.turns")
    return (int(turns) + 1) // 2
