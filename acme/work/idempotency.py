"""What is kept for an Idempotency-Key, and its replay (draft-ietf-httpapi-idempotency-key-header).

A key belongs to its principal and method for 24 hours. Of the request only an HMAC of its fingerprint is kept, of the
outcome the sealed reply or committed refusal, up to 64 KiB. The same key with another request is refused (422), and so is
one whose first request is still being served (409). A MANUAL method claims its key where its last unit begins: two
requests at once may both come so far, and one goes on.

The key is ignored where a reply must not be stored (`secret_reply`) and where nobody owns it (anonymous callers).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import blake2b
from typing import Final

import msgspec

from acme.context import Call, Kind
from acme.errors import Code, Conflict, Fault, Invalid, Refused
from acme.ports import Cipher, Clock, Row, Statements
from acme.work import store

LIFE: Final = timedelta(hours=24)
LIMIT: Final = 64 * 1024
"""Bytes of a reply that is kept whole; of a larger one only that there was one."""


class _Refusal(msgspec.Struct, array_like=True):
    code: Code
    reason: str
    message: str
    faults: tuple[tuple[str, str, str], ...]
    retry_after: float | None


class _Outcome(msgspec.Struct, array_like=True):
    reply: bytes | None
    refusal: _Refusal | None


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Outcome).decode


@dataclass(frozen=True, slots=True)
class Key:
    """The idempotency key of one call."""

    principal: str
    method: str
    key: str
    fingerprint: bytes
    """HMAC of the request's."""

    @property
    def bound(self) -> bytes:
        """What a stored outcome is bound to."""
        return "\0".join((self.principal, self.method, self.key)).encode()

    @property
    def lock(self) -> int:
        """Number of the advisory lock: 64 bits of a hash. Two keys that collide make one caller repeat, no more."""
        return int.from_bytes(blake2b(self.bound, digest_size=8).digest(), "big", signed=True)


class Idempotency:
    """Seals outcomes, and finds and opens them again."""

    def __init__(self, cipher: Cipher, clock: Clock) -> None:
        self._cipher = cipher
        self._clock = clock

    def key(self, call: Call) -> Key | None:
        """The key to keep the outcome of this call under, if any."""
        given, principal = call.idempotency, call.principal
        if given is None or principal.kind is Kind.ANONYMOUS:
            return None
        return Key(principal.id, call.method, given.key, self._cipher.mac("idempotency", given.fingerprint))

    def answered(self, key: Key, reply: bytes) -> store.Record:
        """The record of a reply, in wire bytes."""
        return self._record(key, _Outcome(reply if len(reply) <= LIMIT else None, None))

    def refused(self, key: Key, refusal: Refused) -> store.Record:
        """The record of a refusal that was committed."""
        faults = tuple((fault.pointer, fault.code, fault.message) for fault in refusal.faults)
        kept = _Refusal(refusal.code, refusal.reason, refusal.message, faults, refusal.retry_after)
        return self._record(key, _Outcome(None, kept))

    async def find(self, statements: Statements, key: Key) -> bytes | None:
        """The reply stored for a key, in wire bytes; None when there is no record.

        Raises:
            Invalid: the key was used for another request.
            Conflict: it was done, and the reply was too large to be kept.
            Refused: the stored refusal.
        """
        since = self._clock.now() - LIFE
        return self._open(key, await store.find(statements, key.principal, key.method, key.key, since))

    async def claim(self, transaction: Statements, key: Key) -> bytes | None:
        """As `find`, and makes the key this transaction's own until it ends.

        Raises:
            Conflict: besides `find`'s reason, another transaction has the key and is still being served.
        """
        since = self._clock.now() - LIFE
        row = await store.claim(transaction, key.principal, key.method, key.key, since, key.lock)
        if row["outcome"] is None and not row["free"]:
            raise in_flight()
        return self._open(key, None if row["outcome"] is None else row)

    def _record(self, key: Key, outcome: _Outcome) -> store.Record:
        sealed = self._cipher.seal("idempotency", _encode(outcome), key.bound)
        return store.Record(
            key.principal, key.method, key.key, key.fingerprint, sealed, expired=self._clock.now() - LIFE
        )

    def _open(self, key: Key, row: Row | None) -> bytes | None:
        if row is None:
            return None
        if row["fingerprint"] != key.fingerprint:
            message = "This Idempotency-Key was used for another request: send each request with a key of its own."
            raise Invalid(message, reason="idempotency_key_reused")
        outcome = _decode(self._cipher.open("idempotency", row["outcome"], key.bound))
        if outcome.refusal is not None:
            raise _refused(outcome.refusal)
        if outcome.reply is None:
            message = "This request was carried out, and its reply was too large to be kept: read the result instead."
            raise Conflict(message, reason="idempotency_reply_not_kept")
        return outcome.reply


def in_flight() -> Conflict:
    """The first request with this key has not ended."""
    message = "A request with this Idempotency-Key is still being carried out: repeat it in a moment."
    return Conflict(message, reason="idempotency_in_flight", retry_after=1.0)


def _refused(kept: _Refusal) -> Refused:
    faults: Sequence[Fault] = [Fault(*fault) for fault in kept.faults]
    return Refused(
        kept.message, code=kept.code, reason=kept.reason, faults=faults, retry_after=kept.retry_after, commit=False
    )
