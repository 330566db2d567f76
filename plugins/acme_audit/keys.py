"""Keys of people, and what they encrypt: the fields of records that are marked `pii`.

AES-SIV (RFC 5297) with 256-bit keys: deterministic, so that the same record becomes the same bytes here and in the archive,
and authenticated, with the record's id and the field's name as associated data, so that nothing can be moved to another
record. A subject's key is random, made at its first use, kept sealed by the platform's cipher, and read anew for each batch
of records: once it is destroyed nobody has it. What it encrypted stays what was hashed.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from acme import Cipher, Clock
from acme.contracts.audit.v1 import AuditRecord
from acme_audit.canonical import EPOCH
from acme_audit.store import SubjectStore

KEY_BITS: Final = 512
"""Of AES-SIV: 256 for each of its two halves."""
_MARK: Final = "siv1:"
"""What sealed text begins with."""
_PURPOSE: Final = "audit/subject-keys"


def subject_of(record: AuditRecord) -> str:
    """Whose key a record's personal data is encrypted with; where nobody is known, the month's: "anonymous/2026-11"."""
    return record.subject_id or f"anonymous/{record.occurred_at or EPOCH:%Y-%m}"


def seal(key: bytes | None, record_id: str, field: str, plain: str) -> str:
    """The text that is kept in place of `plain`: "" where there is nothing to keep, or the key is destroyed."""
    if key is None or not plain:
        return ""
    bound = [record_id.encode(), field.encode()]
    return _MARK + base64.b64encode(AESSIV(key).encrypt(plain.encode(), bound)).decode()


def unseal(key: bytes | None, record_id: str, field: str, kept: str) -> str:
    """What `seal` was given; "" once the key is destroyed.

    Raises:
        ValueError: it was altered, or is another record's.
    """
    if key is None or not kept:
        return ""
    bound = [record_id.encode(), field.encode()]
    try:
        return AESSIV(key).decrypt(base64.b64decode(kept.removeprefix(_MARK), validate=True), bound).decode()
    except (InvalidTag, binascii.Error) as error:
        raise ValueError(f"the {field} of {record_id} is not what was sealed") from error


class SubjectKeys:
    """The keys of subjects."""

    def __init__(self, store: SubjectStore, cipher: Cipher, clock: Clock) -> None:
        self._store, self._cipher, self._clock = store, cipher, clock

    async def known(self, subjects: Iterable[str]) -> Mapping[str, bytes | None]:
        """The keys of those who have, or had, one; `None` for a destroyed one."""
        wanted = sorted(set(subjects))
        if not wanted:
            return {}
        found = await self._store.read(wanted)
        return {subject: self._open(subject, sealed) for subject, sealed in found.items()}

    async def needed(self, subjects: Iterable[str]) -> Mapping[str, bytes | None]:
        """The same, made for those who never had one."""
        wanted = sorted(set(subjects))
        found = dict(await self.known(wanted))
        missing = [subject for subject in wanted if subject not in found]
        if missing:
            made = {subject: AESSIV.generate_key(KEY_BITS) for subject in missing}
            sealed = [self._cipher.seal(_PURPOSE, key, subject.encode()) for subject, key in made.items()]
            await self._store.add(missing, sealed, at=self._clock.now())
            found |= await self.known(missing)  # another may have been faster
        return found

    async def destroy(self, subject: str) -> bool:
        """Nobody reads what this subject's key encrypted again, and nothing is kept of it any more. False: it is so already.

        A subject that has no key yet gets none.
        """
        return await self._store.destroy(subject, at=self._clock.now())

    def _open(self, subject: str, sealed: bytes | None) -> bytes | None:
        return None if sealed is None else self._cipher.open(_PURPOSE, sealed, subject.encode())
