"""Signs the states of logs, and takes what it signed out of the database's reach.

The job `checkpoints` signs a log that has grown since its last checkpoint, and each log once an hour: silence is vouched
for, too. Before it signs it proves to itself that the last checkpoint is the beginning of the next. Then it writes new
checkpoints to the object store, as `audit/v1/checkpoints/REGION/LOG/NUMBER`, where nobody replaces them: an older copy of
the database, and a log without its tail, contradict them.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from acme import Cipher, Clock, ObjectExists, ObjectStore, work
from acme_audit import notes
from acme_audit.canonical import FIRST
from acme_audit.notes import Checkpoint
from acme_audit.proofs import Proofs
from acme_audit.store import CheckpointStore, Head, LogStore, Signed
from acme_audit.tree import consistency, consistent

QUIET: Final = timedelta(hours=1)
"""After so long a log is signed although nothing was added."""
BATCH: Final = 200
FOLDER: Final = "audit/v1/checkpoints/"
"""Where checkpoints are in the object store."""
_PURPOSE: Final = "audit/signing-keys"


class Contradiction(Exception):
    """What is kept contradicts what was signed: `acme audit verify` says where. `args` are the log and the reason."""


class Checkpoints:
    """Signs, and archives."""

    def __init__(self, store: CheckpointStore, logs: LogStore, proofs: Proofs, cipher: Cipher, clock: Clock) -> None:
        self._store, self._logs, self._proofs, self._cipher, self._clock = store, logs, proofs, cipher, clock

    async def first_key(self) -> None:
        """Makes the key that signs, unless there is one. Safe in several processes at a time."""
        if await self._store.keys():
            return
        private = Ed25519PrivateKey.generate()
        public = private.public_key().public_bytes_raw()
        sealed = self._cipher.seal(_PURPOSE, private.private_bytes_raw(), public)
        async with work():
            await self._store.first_key(public, sealed, at=self._clock.now())

    async def sign_due(self) -> list[str]:
        """Signs every log that is due; returns what keeps it from signing others."""
        faults: list[str] = []
        after, now = 0, self._clock.now()
        while due := await self._store.due(quiet_since=now - QUIET, after=after, limit=BATCH):
            for log_id in due:
                try:
                    await self.sign(log_id)
                except Contradiction as fault:
                    faults.append(": ".join(fault.args))
            after = due[-1]
        return faults

    async def sign(self, log_id: int) -> None:
        """Signs the state of a log as its next checkpoint.

        Raises:
            Contradiction: it does not follow from the last one.
        """
        key = await self._key()
        async with work():
            head = Head(*await self._store.lock(log_id))  # type: ignore[arg-type]  # the columns of Head
            last = await self._store.one(log_id, head.signed)
            now = self._clock.now()
            if last is not None and last.size == head.size and last.signed_at > now - QUIET:
                return  # another process was faster
            root = head.tree().root()
            if last is not None:
                await self._follows(head, root, last)
            previous = notes.digest(last.note) if last is not None else FIRST
            checkpoint = Checkpoint(head.name, head.signed + 1, head.size, root, now, previous)
            note = checkpoint.sign(key)
            await self._store.add(log_id, Signed(checkpoint.number, checkpoint.size, now, note))

    async def archive(self, objects: ObjectStore) -> list[str]:
        """Writes what is not there yet to the object store; returns what contradicts it."""
        faults: list[str] = []
        after = 0
        while logs := await self._store.unarchived(after=after, limit=BATCH):
            for log_id, name, archived in logs:
                try:
                    await self._archive(objects, log_id, name, archived)
                except Contradiction as fault:
                    faults.append(": ".join(fault.args))
            after = logs[-1][0]
        return faults

    async def _archive(self, objects: ObjectStore, log_id: int, name: str, archived: int) -> None:
        for signed in await self._store.scan(log_id, after=archived, limit=BATCH):
            place, note = object_name(name, signed.number), signed.note.encode()
            try:
                await objects.create(place, note)
            except ObjectExists:
                if await objects.get(place) != note:
                    raise Contradiction(name, f"the object store has another checkpoint {signed.number}") from None
            await self._store.archived(log_id, signed.number)

    async def _follows(self, head: Head, root: bytes, last: Signed) -> None:
        said = notes.read(last.note)
        if said.size > head.size:
            raise Contradiction(head.name, f"checkpoint {said.number} is of {said.size} records, there are {head.size}")
        if said.size == 0:
            return
        proof = await self._proofs.hashes(head.id, consistency(said.size, head.size))
        if not consistent(said.size, head.size, proof, said.root, root):
            raise Contradiction(
                head.name, f"its {head.size} records do not begin with those of checkpoint {said.number}"
            )

    async def _key(self) -> Ed25519PrivateKey:
        public, sealed = (await self._store.keys())[-1]
        return Ed25519PrivateKey.from_private_bytes(self._cipher.open(_PURPOSE, sealed, public))

    async def public_keys(self) -> list[Ed25519PublicKey]:
        """The keys that verify, the one that signs last."""
        return [Ed25519PublicKey.from_public_bytes(key.public) for key in await self._store.keys()]


def object_name(log: str, number: int) -> str:
    """Where a checkpoint is in the object store."""
    return f"{FOLDER}{log}/{number:012}"
