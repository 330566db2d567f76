"""What a request has come to → its answer, its line in the log, its place in the metrics, and what is told of a refusal."""

from __future__ import annotations

import asyncio
import time
from typing import Final, cast

from acme.errors import Code, Refused
from acme.gateway.accounts import Accounts
from acme.gateway.cors import Cors
from acme.gateway.deadlines import Timed
from acme.gateway.endpoints import Answered, Readiness
from acme.gateway.exchange import Exchange
from acme.gateway.feed import Feed
from acme.gateway.problems import problem
from acme.gateway.refusals import Refusals
from acme.gateway.server import PROBLEM, Reply, header_lines, reply
from acme.gateway.transfers import Download
from acme.telemetry import logger

log: Final = logger(__name__)


class Answers:
    """Of one gateway. What depends on settings, `cors` and `wait`, may be replaced between two requests."""

    def __init__(
        self,
        readiness: Readiness,
        accounts: Accounts,
        refusals: Refusals | None,
        active: set[Timed],
        cors: Cors | None,
        wait: float,
    ) -> None:
        """`active` are the requests being served, which leave it here; a client may take `wait` seconds to read."""
        self._readiness, self._accounts, self._refusals, self._active = readiness, accounts, refusals, active
        self.cors, self.wait = cors, wait
        self.quiet: Final = asyncio.Event()
        """Whether, in a drain, no request is left."""

    def settle(self, exchange: Exchange, outcome: Answered | Download | Refused) -> Reply | Download:
        """The answer to whatever a request has come to."""
        self._ended(exchange)
        if type(outcome) is tuple:
            return self._answer(exchange, *outcome)
        if isinstance(outcome, Download):
            if isinstance(outcome, Feed) and outcome.refusal is not None:
                self._accounts.broken(exchange, outcome, outcome.refusal.code, outcome.refusal.reason)
                return outcome
            self._accounts.add(exchange, outcome.status, outcome.body_length, time.time())
            return outcome
        refused = cast(Refused, outcome)
        if exchange.trace is not None:
            exchange.trace.why = refused.reason
        if self._refusals is not None:
            self._refusals.add(exchange, refused)
        if exchange.download is not None:
            return self._broken(exchange, exchange.download, refused)
        return self.refusal(exchange, refused)

    def cancelled(self, exchange: Exchange) -> None:
        """Nobody waits for an answer any more."""
        self._ended(exchange)
        if exchange.download is not None:
            self._accounts.broken(exchange, exchange.download, Code.CANCELLED, "client_gone")
        else:
            self._accounts.add(exchange, 499, 0, time.time())

    def lines(self, exchange: Exchange, lines: bytes) -> bytes:
        """Header lines of an answer: its own, what is left of a limit, and for whose pages it is."""
        if exchange.quota is not None:
            lines += exchange.quota.lines(exchange.spare)
        return lines if self.cors is None else lines + self.cors.lines(exchange.headers)

    def refusal(self, exchange: Exchange, refusal: Refused) -> Reply:
        """The answer that says no."""
        bound = exchange.bound
        if bound is not None:
            refusal = bound.placed(refusal)
        answer = problem(refusal, exchange.request_id, permission=bound.permission if bound is not None else "")
        return self._answer(exchange, answer.status, PROBLEM, answer.body, header_lines(answer.headers))

    def unread(self, exchange: Exchange, refusal: Refused) -> Reply:
        """The answer to what never became a request."""
        answer, now = problem(refusal, exchange.request_id), time.time()
        made = self._made(exchange, answer.status, PROBLEM, answer.body, header_lines(answer.headers), now)
        self._accounts.unread(exchange, answer.status, made.body_length, now, refusal.reason)
        return made

    def _ended(self, exchange: Exchange) -> None:
        self._active.discard(exchange)
        if self._readiness.draining and not self._active:
            self.quiet.set()

    def _answer(self, exchange: Exchange, status: int, kind: str, body: bytes, lines: bytes) -> Reply:
        now = time.time()
        made = self._made(exchange, status, kind, body, lines, now)
        self._accounts.add(exchange, status, made.body_length, now)
        return made

    def _made(self, exchange: Exchange, status: int, kind: str, body: bytes, lines: bytes, now: float) -> Reply:
        lines, keep = self.lines(exchange, lines), not self._readiness.draining
        return reply(exchange, exchange.request_id, status, kind, body, lines, now, keep, self.wait)

    def _broken(self, exchange: Exchange, download: Download, refusal: Refused) -> Download:
        """An answer that had begun ends in the middle, and its connection has been reset."""
        log.warning("a stream broke off", request_id=exchange.request_id, why=refusal.reason)
        self._accounts.broken(exchange, download, refusal.code, refusal.reason)
        return download
