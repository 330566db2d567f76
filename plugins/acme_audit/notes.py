"""Signed notes and checkpoints: c2sp.org/signed-note and c2sp.org/tlog-checkpoint, version 1, with Ed25519 (RFC 8032).

acme-audit/us-east/org_…                  the log, which is the name of its key, too
1234                                      size of the tree
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
signed-at 2026-01-31T12:00:00.000000Z     extension lines of ours
number 17
previous 5f0c…                            SHA-256 of the note before; zeros for the first

— acme-audit/us-east/org_… Az3grl…        key id and signature over everything above the empty line
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from acme_audit.canonical import FIRST, moment

_ED25519: Final = b"\x01"
"""Signature type in a verifier key."""
_SHAPE: Final = re.compile(
    r"acme-audit/(?P<log>\S+)\n(?P<size>0|[1-9]\d{0,15})\n(?P<root>[A-Za-z0-9+/=]{44})\n"
    r"signed-at (?P<at>\S{27})\nnumber (?P<number>[1-9]\d{0,15})\nprevious (?P<previous>[0-9a-f]{64})\n"
)
_SIGNATURE: Final = re.compile(r"— (?P<name>\S+) (?P<signature>[A-Za-z0-9+/=]+)\n")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A state of a log."""

    log: str
    number: int
    """Among the checkpoints of the log, from 1."""
    size: int
    root: bytes
    signed_at: datetime
    previous: bytes = FIRST
    """Digest of the checkpoint before."""

    def body(self) -> str:
        """What is signed."""
        return (
            f"{origin(self.log)}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"
            f"signed-at {moment(self.signed_at)}\nnumber {self.number}\nprevious {self.previous.hex()}\n"
        )

    def sign(self, key: Ed25519PrivateKey) -> str:
        """The note."""
        body, name = self.body(), origin(self.log)
        signature = _key_id(name, key.public_key()) + key.sign(body.encode())
        return f"{body}\n— {name} {base64.b64encode(signature).decode()}\n"


def origin(log: str) -> str:
    """What a log is called outside of its region."""
    return f"acme-audit/{log}"


def digest(note: str) -> bytes:
    """What the next checkpoint says of this one."""
    return hashlib.sha256(note.encode(errors="surrogatepass")).digest()


def verifier_key(log: str, public: Ed25519PublicKey) -> str:
    """The key that verifies a log's checkpoints, as c2sp.org/signed-note writes it."""
    key = base64.b64encode(_ED25519 + public.public_bytes_raw()).decode()
    return f"{origin(log)}+{_key_id(origin(log), public).hex()}+{key}"


def read(note: str) -> Checkpoint:
    """What a note says, believed or not.

    Raises:
        ValueError: it is no checkpoint of ours.
    """
    body, found = _split(note)[0], None
    if (found := _SHAPE.fullmatch(body)) is None:
        raise ValueError("no checkpoint of an audit log")
    return Checkpoint(
        log=found["log"],
        number=int(found["number"]),
        size=int(found["size"]),
        root=_decoded(found["root"]),
        signed_at=datetime.fromisoformat(found["at"]),
        previous=bytes.fromhex(found["previous"]),
    )


def signed_by(note: str, *keys: Ed25519PublicKey) -> bool:
    """Whether one of these keys has signed a note, in the name of its first line."""
    try:
        body, lines = _split(note)
        name = body.partition("\n")[0]
        signatures = [_decoded(found["signature"]) for found in lines if found["name"] == name]
    except ValueError:
        return False
    return any(_signed(body, signature, name, key) for signature in signatures for key in keys)


def _signed(body: str, signature: bytes, name: str, key: Ed25519PublicKey) -> bool:
    if signature[:4] != _key_id(name, key):
        return False
    try:
        key.verify(signature[4:], body.encode(errors="surrogatepass"))
    except InvalidSignature:
        return False
    return True


def _split(note: str) -> tuple[str, list[re.Match[str]]]:
    """Text and signature lines."""
    body, empty, rest = note.partition("\n\n")
    lines = [_SIGNATURE.fullmatch(line) for line in rest.splitlines(keepends=True)]
    found = [line for line in lines if line is not None]
    if not empty or not found or len(found) != len(lines):
        raise ValueError("no signed note")
    return body + "\n", found


def _key_id(name: str, public: Ed25519PublicKey) -> bytes:
    return hashlib.sha256(f"{name}\n".encode() + _ED25519 + public.public_bytes_raw()).digest()[:4]


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("no base 64") from error
