"""All the SQL of the audit service.

logs.py          heads of logs, records and nodes: what appending writes
records.py       records, to be listed and verified
checkpoints.py   checkpoints and the keys that sign them
subjects.py      keys of people
witnesses.py     events, and whether a record names them
"""

from acme_audit.store.checkpoints import CheckpointStore, Signed, SigningKey
from acme_audit.store.logs import Head, LogStore, Written
from acme_audit.store.records import Found, RecordStore, Stored, Wanted
from acme_audit.store.subjects import SubjectStore
from acme_audit.store.witnesses import WitnessStore

__all__ = [
    "CheckpointStore",
    "Found",
    "Head",
    "LogStore",
    "RecordStore",
    "Signed",
    "SigningKey",
    "Stored",
    "SubjectStore",
    "Wanted",
    "WitnessStore",
    "Written",
]
