"""One log, record by record."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from acme import Row
from acme.contracts.audit.v1 import Outcome
from acme_audit.canonical import FIRST
from acme_audit.proofs import Incomplete, Proofs, kept_nodes
from acme_audit.store import Head, LogStore, RecordStore
from acme_audit.store.logs import key
from acme_audit.tree import Frontier, Node
from acme_audit.verify.report import Report, Status
from acme_audit.verify.signed import Roots

BATCH: Final = 4000
"""Records that are in memory at a time."""
_OUTCOMES: Final = {"OUTCOME_" + str(outcome.name): int(outcome) for outcome in Outcome}


class _Aim(msgspec.Struct, frozen=True):
    id: str = ""


class _Said(msgspec.Struct):
    """What of canonical bytes is compared: the rest of them is hashed, and found by nothing."""

    id: str
    log: str
    sequence: int
    previous: str
    occurred_at: datetime
    actor: _Aim = _Aim()
    action: str = ""
    outcome: str = "OUTCOME_UNSPECIFIED"
    targets: list[_Aim] = []


_DECODE: Final = msgspec.json.Decoder(_Said).decode


class Walk:
    """Reads the records of a log from `start` to before `end`, once."""

    def __init__(
        self, head: Head, logs: LogStore, records: RecordStore, report: Report, roots: Roots, *, start: int, end: int
    ) -> None:
        self._head, self._logs, self._records, self._report, self._roots = head, logs, records, report, roots
        self._start, self._end = start, end
        self._next = start
        """The number that comes next."""
        self._leaf: bytes | None = None
        """Hash of the record before, from its bytes; `None` where it is missing."""
        self._tree: Frontier | None = None
        """Of all records so far; `None` once it cannot be known."""

    async def run(self) -> None:
        """Notes what does not fit."""
        await self._begin()
        while self._next < self._end:
            rows = await self._records.scan(self._head.id, self._next, self._end, limit=BATCH)
            if not rows:
                self._gap(self._end)
                break
            await self._batch(rows)
        if self._end == self._head.size:
            self._at_the_end()

    async def _begin(self) -> None:
        if self._start == 0:
            self._leaf, self._tree = FIRST, Frontier()
        else:
            self._leaf = (await self._records.leaves(self._head.id, [self._start - 1])).get(self._start - 1)
            await self._resume(self._start)
            return
        self._roots.reached(self._tree)

    async def _resume(self, size: int) -> None:
        """Goes on with a tree from what is kept of it; the roots that come next tell whether it is the right one."""
        proofs = Proofs(self._logs, self._records)
        try:
            self._tree = await proofs.frontier(self._head.id, size)
            self._roots.reached(self._tree)
        except Incomplete:
            self._tree = None
            self._tell(
                Status.INCOMPLETE, "tree", size, "what is missing before keeps it from being checked from here on"
            )

    async def _batch(self, rows: Sequence[Row]) -> None:
        sha256, name = hashlib.sha256, self._head.name
        completed: list[tuple[Node, bytes]] = []
        for row in rows:
            sequence, record_id, content, stored, occurred_at, actor_id, action, outcome, targets = row
            leaf = sha256(b"\0" + content).digest()
            if leaf != stored:
                self._tell(Status.TAMPERED, "bytes", sequence, "its bytes are not those that were hashed")
            try:
                said = _DECODE(content)
            except msgspec.MsgspecError:
                said = None
                self._tell(Status.TAMPERED, "content", sequence, "its bytes are no record")
            if sequence != self._next:
                completed += await self._skip(sequence, said)
            if said is not None:
                if self._leaf is not None and said.previous != self._leaf.hex():
                    self._tell(Status.TAMPERED, "chain", sequence, "it does not follow the record before it")
                if (
                    said.sequence != sequence
                    or said.log != name
                    or said.id != record_id
                    or said.occurred_at != occurred_at
                    or key(said.actor.id) != actor_id
                    or key(said.action) != action
                    or _OUTCOMES.get(said.outcome) != outcome
                    or [key(target.id) for target in said.targets] != targets
                ):
                    self._tell(Status.TAMPERED, "columns", sequence, "it is found by what its bytes do not say")
            self._leaf = leaf
            self._next = sequence + 1
            if self._tree is not None:
                completed += self._tree.append(leaf)
                if self._tree.size >= self._roots.next:
                    self._roots.reached(self._tree)
        self._report.records += len(rows)
        await self._compare(completed)

    async def _skip(self, sequence: int, said: _Said | None) -> list[tuple[Node, bytes]]:
        """Over records that are missing. The hash of the last one of them is in the record after."""
        missing = sequence - self._next
        self._gap(sequence)
        if missing == 1 and said is not None and self._tree is not None:
            completed = self._tree.append(bytes.fromhex(said.previous))
            self._roots.reached(self._tree)
            return completed
        await self._resume(sequence)
        return []

    def _gap(self, until: int) -> None:
        missing = until - self._next
        which = "it is" if missing == 1 else f"it and those up to {until - 1:,} are"
        self._tell(Status.INCOMPLETE, "gap", self._next, f"{which} missing")
        self._next, self._leaf = until, None

    async def _compare(self, completed: list[tuple[Node, bytes]]) -> None:
        """Nodes of the tree, as they are kept."""
        expected = kept_nodes(completed)
        kept = await self._logs.nodes(self._head.id, list(expected))
        for node, found in expected.items():
            if node not in kept:
                self._tell(Status.INCOMPLETE, "node", node.at << node.level, f"the {_over(node)} is missing")
            elif kept[node] != found:
                self._tell(Status.TAMPERED, "node", node.at << node.level, f"the {_over(node)} is another")

    def _at_the_end(self) -> None:
        head, tree = self._head, self._tree
        if self._leaf is not None and head.head != self._leaf:
            self._tell(Status.TAMPERED, "head", None, "the log's last hash is not that of its last record")
        if tree is not None and tree.size == head.size and head.frontier != tree.pack():
            self._tell(Status.TAMPERED, "head", None, "the tree that would be continued is not that of the records")

    def _tell(self, status: Status, kind: str, sequence: int | None, text: str) -> None:
        self._report.add(status, kind, self._head.name, sequence, text)


def _over(node: Node) -> str:
    return f"hash over records {node.at << node.level:,} to {((node.at + 1) << node.level) - 1:,}"
