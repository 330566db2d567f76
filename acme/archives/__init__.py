"""Archives: a topic's records kept for good in the object store, and read back with proof that none is missing or altered.

    v1/topic=T/partition=P/T+P+START.avro              the records from offset START on: an Avro object container file
    v1/topic=T/partition=P/T+P+START.manifest.json     what the file holds, and the hash of the manifest before it

START has 20 digits, so names sort as offsets do. Each file begins where the one before it ends, the first one at 0; offsets
without a record are listed. Objects are only ever created: of two who write the same file, the second one takes over what
the first one wrote. Nothing in an object depends on when or by whom it was written.

- `container.py`: Avro object container files, byte for byte the same for the same content.
- `entries.py`: records of the bus as entries of a file, and back · `manifest.py`: names, manifests, Merkle roots.
- `reading.py`: `archived`, for everybody who reads; `acme/bus/archiver.py` writes.
"""

from acme.archives.container import Damaged
from acme.archives.entries import Entry, Layout
from acme.archives.manifest import Manifest, Stretch
from acme.archives.reading import ArchiveBroken, Archived, archived

__all__ = ["ArchiveBroken", "Archived", "Damaged", "Entry", "Layout", "Manifest", "Stretch", "archived"]
