"""The checkpoints of a log: each by itself, in their order, and against the tree as it is walked."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from acme_audit import notes
from acme_audit.canonical import FIRST
from acme_audit.store import CheckpointStore, Head, Signed
from acme_audit.tree import Frontier
from acme_audit.verify.report import Report, Status

BATCH: Final = 1000
NEVER: Final = sys.maxsize


@dataclass(frozen=True, slots=True)
class Root:
    """What the tree of so many records has to be."""

    size: int
    root: bytes
    whence: str
    """Who says so."""


class Roots:
    """Roots that were signed, compared as a walk reaches their sizes. Sizes never fall."""

    def __init__(self, head: Head, report: Report, expected: Sequence[Root], *, start: int) -> None:
        self._head, self._report = head, report
        self._expected = sorted(expected, key=lambda root: root.size)
        self._at = 0
        self._good = start
        """The largest size whose root was right, or where the walk begins."""
        self.next = self._expected[0].size if expected else NEVER
        """The next size that is of interest."""

    def reached(self, tree: Frontier) -> None:
        """The tree has grown to this size."""
        while self.next <= tree.size:
            expected = self._expected[self._at]
            if expected.size == tree.size:
                if expected.root == tree.root():
                    self._good = tree.size
                else:
                    self._report.add(
                        Status.TAMPERED,
                        "checkpoint",
                        self._head.name,
                        self._good,
                        f"it or one up to {tree.size - 1:,} is not what {expected.whence} vouches for",
                    )
            self._at += 1
            self.next = self._expected[self._at].size if self._at < len(self._expected) else NEVER


class Chain:
    """A log's checkpoints, each with the hash of the one before."""

    def __init__(self, head: Head, store: CheckpointStore, keys: Sequence[Ed25519PublicKey], report: Report) -> None:
        self._head, self._store, self._keys, self._report = head, store, keys, report
        self.last: Signed | None = None
        """The newest one."""
        self.notes: dict[int, bytes] = {}
        """Digest of each, by its number."""

    async def read(self) -> list[Root]:
        """Notes what does not fit among them; returns what they say of the records."""
        found: list[Root] = []
        previous = FIRST
        after = 0
        while batch := await self._store.scan(self._head.id, after=after, limit=BATCH):
            after = batch[-1].number
            for signed in batch:
                if signed.number > self._head.signed:
                    break  # it is younger than what is looked at
                found += self._check(signed, previous)
                previous = notes.digest(signed.note)
                self.notes[signed.number] = previous
                self.last = signed
                self._report.checkpoints += 1
        if (self.last.number if self.last else 0) < self._head.signed:
            self._tell(Status.TAMPERED, f"those up to number {self._head.signed} are missing")
        return found

    def _check(self, signed: Signed, previous: bytes) -> list[Root]:
        number, last = signed.number, self.last
        if number != (last.number if last else 0) + 1:
            self._tell(Status.INCOMPLETE, f"number {number - 1} is missing")
        if not notes.signed_by(signed.note, *self._keys):
            self._tell(Status.TAMPERED, f"the signature of number {number} is not good")
            return []
        try:
            said = notes.read(signed.note)
        except ValueError as error:
            self._tell(Status.TAMPERED, f"number {number}: {error}")
            return []
        if (said.log, said.number, said.size, said.signed_at) != (
            self._head.name,
            number,
            signed.size,
            signed.signed_at,
        ):
            self._tell(Status.TAMPERED, f"number {number} stands where it does not belong")
        elif said.previous != previous and number == (last.number if last else 0) + 1:
            self._tell(Status.TAMPERED, f"number {number} does not follow the one before")
        elif said.size > self._head.size:
            self._tell(
                Status.TAMPERED, f"number {number} is of {said.size:,} records, and there are {self._head.size:,}"
            )
        elif last is not None and (said.size < last.size or said.signed_at < last.signed_at):
            self._tell(Status.TAMPERED, f"number {number} goes back behind the one before")
        else:
            return [Root(said.size, said.root, f"checkpoint {number}")]
        return []

    def _tell(self, status: Status, text: str) -> None:
        kind = "signatures" if status is Status.TAMPERED else "checkpoints"
        self._report.add(status, kind, self._head.name, None, text)
