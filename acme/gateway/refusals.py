"""What the gateway itself refuses, for the audit log: a token that proves nothing (401), a scope that is too small
(403), too many requests (429).

Refusals alike are counted together: of one minute, one kind, one principal (or one network, where nobody is known), one
method and one reason there is one record, with their number and the time of the last. At most `KEYS` are counted at a time,
half of them of callers whom nobody knows; what else there is, is counted together without a name. So a flood costs a
counter, and neither memory nor the log, and strangers cannot hide what the known do.

    refused → counted in memory → within a second noted on disk → after a minute in the spool → AuditIntake

The spool (`spool.py`) keeps them while the audit service cannot be reached, and over the end of this process. When it is
full, or cannot be written, that is logged as an error and counted (`acme_audit_spool_dropped_total`): that is an alarm.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from acme.codec.json import Json
from acme.context import Principal
from acme.contract import Contracts, Method, Work
from acme.contracts.audit.v1 import (
    Actor,
    AppendAuditRecordsRequest,
    AuditIntakeStub,
    AuditRecord,
    Category,
    Decision,
    Outcome,
)
from acme.errors import Code, Invalid, Refused
from acme.gateway.addresses import network
from acme.gateway.auth import Uncovered
from acme.gateway.exchange import Exchange
from acme.gateway.headers import trace
from acme.gateway.spool import LIMIT, Spool
from acme.ids import new_id
from acme.ports import Clock, Directory
from acme.tasks import Tasks
from acme.telemetry import Metrics, logger
from acme.work import trace_id

log: Final = logger(__name__)

WINDOW: Final = 60.0
"""Seconds that refusals alike are counted together."""
KEYS: Final = 1000
"""Counted apart from each other, at most."""
TURN: Final = 1.0
"""Seconds between two looks, and so what a crash can cost at most."""
BATCH: Final = 500
"""Records of one call."""
LONGEST: Final = 30.0
"""Seconds between two attempts to hand records over, at most."""
PATIENCE: Final = 10.0
PARTING: Final = 2.0
"""Seconds that one attempt may take; and the last one, at the end of the process."""

_KINDS: Final = {Code.UNAUTHENTICATED: "token", Code.DENIED: "scope", Code.EXHAUSTED: "rate"}

_Key = tuple[str, str, str, str]
"""(kind, principal or network, method, reason)."""


class Refusals:
    """Counts, keeps and hands over."""

    def __init__(
        self,
        directory: Directory,
        contracts: Contracts,
        clock: Clock,
        metrics: Metrics,
        folder: Path,
        *,
        version: str,
        region: str,
        limit: int = LIMIT,
        keys: int = KEYS,
    ) -> None:
        """`directory` calls as "gateway"; `folder` is for the spool."""
        self._intake = directory.client(AuditIntakeStub)
        message, json = contracts.message_of(AuditRecord), Json(contracts)
        self._encode, self._decode = json.encoder(message), json.decoder(message)
        self._clock, self._folder, self._limit, self._most = clock, folder, limit, keys
        self._version, self._region = version, region
        self._counted: dict[_Key, AuditRecord] = {}
        self._strangers = 0
        """Of these, the ones of callers whom nobody knows."""
        self._changed = False
        self._spool: Spool | None = None
        self._wait, self._next = 0.0, 0.0
        self._turning, self._closed = asyncio.Lock(), False
        self._dropped = metrics.counter(
            "acme_audit_spool_dropped_total", "Audit records of the gateway that were lost: an alarm.", ()
        ).bind()
        metrics.gauge("acme_audit_spool_pending", "Audit records of the gateway that wait.", (), self._pending)

    def add(self, exchange: Exchange, refusal: Refused) -> None:
        """Counts a refusal. One of another kind, or by the method itself, is nobody's business here."""
        kind, bound = _KINDS.get(refusal.code), exchange.bound
        if kind is None or bound is None or exchange.called:
            return
        method = bound.method
        principal = refusal.principal if isinstance(refusal, Uncovered) else exchange.principal
        who = principal.id or network(exchange.address)
        key = kind, who, method.path[1:], refusal.reason
        record = self._counted.get(key)
        if record is None and not self._has_room(principal):
            key = kind, "others", "", ""
            record = self._counted.get(key)
        self._changed = True
        if record is None:
            self._counted[key] = self._first(exchange, method, principal, refusal, others=key[1] == "others")
            self._strangers += not principal.id
        else:
            record.count += 1
            record.last_at = self._clock.now()

    def _has_room(self, principal: Principal) -> bool:
        """Whether one more can be counted apart: strangers, who have as many networks as they like, leave half of the room
        to those who are known."""
        if len(self._counted) >= self._most:
            return False
        return bool(principal.id) or self._strangers < self._most // 2

    def start(self, tasks: Tasks) -> None:
        """Begins to keep and hand over, until `tasks` stop."""
        tasks.loop("gateway.refusals", self.turn, pause=TURN)

    async def turn(self) -> None:
        """Keeps what was counted, and hands over what waits, unless it failed a moment ago."""
        async with self._turning:
            if not self._closed:
                await self._turn()

    async def _turn(self) -> None:
        await self._keep(self._clock.now().timestamp() - WINDOW)
        now = asyncio.get_running_loop().time()
        if now >= self._next:
            try:
                while await self._hand_over(PATIENCE):
                    pass
                self._wait = 0.0
            except Refused as refusal:
                if not self._wait:
                    log.warning("audit records of the gateway wait", reason=refusal.reason)
                self._wait = min(LONGEST, max(TURN, self._wait * 2))
            self._next = now + self._wait

    async def close(self) -> None:
        """Keeps everything, and tries once more to hand it over."""
        async with self._turning:
            self._closed = True
            await self._keep(None)
            try:
                while await self._hand_over(PARTING):
                    pass
            except Refused:
                pass  # the next process does
            if self._spool is not None:
                self._spool.close()

    def _first(
        self, exchange: Exchange, method: Method, principal: Principal, refusal: Refused, *, others: bool
    ) -> AuditRecord:
        now = self._clock.now()
        permission = method.permission if refusal.code is Code.DENIED else ""
        record = AuditRecord(
            id=new_id("aud", self._clock),
            region=self._region,
            occurred_at=now,
            action="others" if others else method.path[1:],
            category=Category.READ if method.work is Work.NONE else Category.WRITE,
            outcome=Outcome.DENIED,
            reason=_KINDS[refusal.code] if others else refusal.reason,
            actor=Actor(kind="anonymous", service="gateway"),
            service="gateway",
            service_version=self._version,
            count=1,
            last_at=now,
        )
        if others:
            return record
        return dataclasses.replace(
            record,
            organization_id=principal.organization,
            actor=Actor(kind=principal.kind, id=principal.id, session_id=principal.session, service="gateway"),
            decisions=[Decision(permission=permission)] if permission else [],
            address=exchange.address if principal.id else network(exchange.address),
            request_id=exchange.request_id,
            trace_id=trace_id(trace(exchange.headers)),
            subject_id=principal.id if principal.id.startswith("usr_") else "",
        )

    async def _keep(self, until: float | None) -> None:
        """Moves what was first counted before `until` (Unix time; `None`: all) into the spool, and notes the rest."""
        over = {
            key: record
            for key, record in self._counted.items()
            if until is None or record.occurred_at is None or record.occurred_at.timestamp() <= until
        }
        if not (over or self._changed) and self._spool is not None:
            return
        for key in over:
            del self._counted[key]
        self._strangers = sum(not (record.actor and record.actor.id) for record in self._counted.values())
        self._changed = False
        closed = [self._encode(record) for record in over.values()]
        opened = [self._encode(record) for record in self._counted.values()]
        try:
            dropped = await asyncio.to_thread(self._to_disk, closed, opened)
        except OSError as error:
            log.error("the spool of the audit log cannot be written", folder=str(self._folder), error=repr(error))
            self._dropped.add(len(closed))
            return
        if dropped:
            log.error("the spool of the audit log is full: records are lost", records=dropped, bytes=self._limit)
            self._dropped.add(dropped)

    def _to_disk(self, closed: Sequence[bytes], opened: Sequence[bytes]) -> int:
        if self._spool is None:
            self._spool = Spool(self._folder, limit=self._limit)
        dropped = self._spool.add(closed)
        self._spool.note(opened)
        return dropped

    async def _hand_over(self, seconds: float) -> bool:
        """Hands a batch over; false when there was none."""
        spool = self._spool
        if spool is None or (found := await asyncio.to_thread(spool.oldest)) is None:
            return False
        segment, lines = found
        batch = lines[:BATCH]
        records = [record for line in batch if (record := self._read(line)) is not None]
        if records:
            try:
                await self._intake.append_audit_records(AppendAuditRecordsRequest(records=records), timeout=seconds)
            except Invalid as refusal:
                log.error("the audit service does not take these records: lost", records=len(records), why=str(refusal))
                self._dropped.add(len(records))
        await asyncio.to_thread(spool.done, segment, len(batch))
        return True

    def _read(self, line: bytes) -> AuditRecord | None:
        try:
            record: AuditRecord = self._decode(line)
        except ValueError as error:
            log.error("a line of the audit spool cannot be read, and is left out", error=repr(error))
            self._dropped.add()
            return None
        return record

    def _pending(self) -> dict[tuple[str, ...], float]:
        waiting = self._spool.pending if self._spool is not None else 0
        return {(): float(waiting + len(self._counted))}
