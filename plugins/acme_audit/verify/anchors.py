"""What is outside of the database's reach: checkpoints and keys in the object store, and a checkpoint that somebody kept."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from acme import ObjectStore
from acme_audit import notes
from acme_audit.checkpoints import FOLDER, QUIET, object_name
from acme_audit.store import CheckpointStore, Head
from acme_audit.verify.report import Report, Status
from acme_audit.verify.signed import Chain, Root

GRACE: Final = timedelta(minutes=15)
"""How long a checkpoint may take to get into the object store."""


class Anchors:
    """What vouches for logs from outside."""

    def __init__(
        self,
        objects: ObjectStore | None,
        signed: CheckpointStore,
        kept: str,
        keys: list[Ed25519PublicKey],
        report: Report,
        *,
        region: str,
    ) -> None:
        """`kept` is a checkpoint that somebody kept, "" for none."""
        self._objects, self._signed, self._keys, self._report = objects, signed, keys, report
        self._kept, self._ours = kept, f"{FOLDER}{region}/"
        self.log = notes.read(kept).log if kept else ""
        """Which log the kept checkpoint is of."""

    def expected(self, head: Head) -> list[Root]:
        """What the checkpoint that somebody kept says of a log."""
        if head.name != self.log:
            return []
        said = notes.read(self._kept)
        if not notes.signed_by(self._kept, *self._keys):
            self._tell(Status.TAMPERED, "anchor", head.name, "the checkpoint that was kept was signed with another key")
        elif said.size > head.size:
            text = f"the checkpoint that was kept is of {said.size:,} records, and there are {head.size:,}"
            self._tell(Status.TAMPERED, "anchor", head.name, text)
        return [Root(said.size, said.root, "the checkpoint that was kept")]

    async def compare(self, head: Head, chain: Chain, now: datetime) -> None:
        """A log's checkpoints with those in the object store."""
        if self._objects is None:
            if head.name != self.log:
                self._tell(Status.UNANCHORED, "anchor", head.name, "nothing outside of the database was compared with")
            return
        found = 0
        async for facts in self._objects.list(f"{FOLDER}{head.name}/"):
            self._report.archived += 1
            last = facts.name.rpartition("/")[2]
            number = int(last) if last.isdigit() else 0
            note = (await self._objects.get(facts.name)).decode(errors="replace")
            if not notes.signed_by(note, *self._keys):
                self._tell(Status.TAMPERED, "archive", head.name, f"the signature of {facts.name} is not good")
            elif (here := chain.notes.get(number) or await self._younger(head, number)) is None:
                text = f"checkpoint {number} of {notes.read(note).size:,} records is in the object store only"
                self._tell(Status.TAMPERED, "anchor", head.name, f"{text}: this is an older copy, or was cut")
            elif here != notes.digest(note):
                self._tell(Status.TAMPERED, "anchor", head.name, f"checkpoint {number} is another in the object store")
            if number != found + 1:
                self._tell(Status.INCOMPLETE, "archive", head.name, f"{object_name(head.name, found + 1)} is missing")
            found = max(found, number)
        self._freshness(head, chain, found, now)

    async def _younger(self, head: Head, number: int) -> bytes | None:
        """The digest of a checkpoint that was signed since the verification began."""
        signed = await self._signed.one(head.id, number)
        return notes.digest(signed.note) if signed is not None else None

    def _freshness(self, head: Head, chain: Chain, found: int, now: datetime) -> None:
        last = chain.last
        if last is not None and found < head.archived:
            name = object_name(head.name, found + 1)
            self._tell(Status.INCOMPLETE, "archive", head.name, f"{name} and those after it are missing")
        if not found:
            self._tell(Status.UNANCHORED, "anchor", head.name, "none of its checkpoints is in the object store")
        elif last is not None and found < last.number and last.signed_at < now - GRACE:
            text = f"its checkpoints from {found + 1} on are not in the object store"
            self._tell(Status.UNANCHORED, "anchor", head.name, text)
        if last is None or (head.size > last.size and last.signed_at < now - QUIET - GRACE):
            size = last.size if last is not None else 0
            self._tell(Status.UNANCHORED, "unsigned", head.name, f"its records from {size:,} on are not signed")

    async def missing(self, known: set[str]) -> None:
        """Logs of this region that are in the object store only."""
        if self._objects is None:
            return
        after = ""
        while (name := await _next(self._objects, self._ours, after)) is not None:
            log = name.removeprefix(FOLDER).rpartition("/")[0]
            if log not in known:
                self._tell(Status.TAMPERED, "log", log, "the object store has checkpoints of it, the database nothing")
            after = f"{FOLDER}{log}/~"  # behind all numbers

    def _tell(self, status: Status, kind: str, log: str, text: str) -> None:
        self._report.add(status, kind, log, None, text)


async def _next(objects: ObjectStore, prefix: str, after: str) -> str | None:
    """The name of the next object."""
    async for facts in objects.list(prefix, after=after):
        return facts.name
    return None
