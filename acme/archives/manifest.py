"""Names, manifests and Merkle roots of archives: arithmetic alone.

A manifest is JSON with sorted keys. It follows from the file beside it and the manifest before, whoever writes it and when;
`previous` chains them, so that none can be taken out or exchanged without all that follow.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Final

import msgspec

VERSION: Final = "v1"
_NAME: Final = re.compile(
    r"v1/topic=(?P<topic>[A-Za-z0-9._-]+)/partition=(?P<partition>0|[1-9][0-9]*)"
    r"/(?P=topic)\+(?P=partition)\+(?P<start>[0-9]{20})\.(?P<kind>avro|manifest\.json)"
)
ABSENT: Final = "absent"
"""Of a gap: the bus has no records there, such as where Kafka marks the end of a transaction."""
LOST: Final = "lost"
"""Of a gap: the bus dropped records before they were archived."""


class Stretch(msgspec.Struct, frozen=True):
    """Offsets without a record: from `start` to before `end`."""

    start: int
    end: int
    reason: str = ABSENT


class Place(msgspec.Struct, frozen=True):
    """What an object's name says."""

    topic: str
    partition: int
    start: int
    manifest: bool


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one file holds."""

    topic: str
    partition: int
    start: int
    """First offset that the file accounts for."""
    next: int
    """Offset after the last one."""
    count: int
    """Records."""
    sha256: str
    """Of the file, hexadecimal."""
    size: int
    """Bytes of the file."""
    root: str
    """Merkle root (RFC 6962) over the Avro of its records, hexadecimal."""
    schema_id: int
    first_timestamp: int | None
    last_timestamp: int | None
    """Earliest and latest time of a record, milliseconds since the Unix epoch."""
    gaps: tuple[Stretch, ...]
    previous: str
    """SHA-256 of the manifest before this one, hexadecimal; "" for the first."""
    unproven: int = 0
    """Records of the file that the bus no longer had to compare with, when it was taken over from somebody killed."""

    def content(self) -> bytes:
        """The object."""
        return msgspec.json.format(msgspec.json.encode(self, order="sorted"), indent=2) + b"\n"


def read_manifest(content: bytes) -> Manifest:
    """The reverse of `content`. ValueError for what is none, or is written differently."""
    made = msgspec.json.decode(content, type=Manifest)
    if made.content() != content:
        raise ValueError("it is not written as manifests are")
    return made


def digest(content: bytes) -> str:
    """SHA-256, hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def folder(topic: str, partition: int | None = None) -> str:
    """Beginning of the names of a topic's objects, or of one partition's."""
    return f"{VERSION}/topic={topic}/" + ("" if partition is None else f"partition={partition}/")


def file_name(topic: str, partition: int, start: int) -> str:
    """Name of a file."""
    return f"{folder(topic, partition)}{topic}+{partition}+{start:020}.avro"


def manifest_name(topic: str, partition: int, start: int) -> str:
    """Name of the manifest beside it."""
    return f"{folder(topic, partition)}{topic}+{partition}+{start:020}.manifest.json"


def place_of(name: str) -> Place | None:
    """What a name says; None where it is no name of ours."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    return Place(found["topic"], int(found["partition"]), int(found["start"]), found["kind"] != "avro")


def sync_marker(name: str) -> bytes:
    """The 16 bytes between the blocks of a file."""
    return hashlib.sha256(name.encode()).digest()[:16]


def root(leaves: Sequence[bytes]) -> str:
    """Merkle root by RFC 6962, section 2.1, hexadecimal."""
    if not leaves:
        return hashlib.sha256(b"").hexdigest()
    level = [hashlib.sha256(b"\0" + leaf).digest() for leaf in leaves]
    while len(level) > 1:
        # Pairs from the left; an odd one goes up as it is. That is the tree of the section, built from below.
        paired = [hashlib.sha256(b"\1" + level[at] + level[at + 1]).digest() for at in range(0, len(level) - 1, 2)]
        level = paired + level[len(paired) * 2 :]
    return level[0].hex()
