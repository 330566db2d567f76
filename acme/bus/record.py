"""An event as a record of the bus: Avro in Confluent's wire format, with CloudEvents headers in Kafka's binary mode.

Sources: CloudEvents 1.0.2, Kafka protocol binding 1.0.2 (headers `ce_…`, `content-type`), partitioning and distributed
tracing extensions; W3C Trace Context. Headers are UTF-8. None of them holds a secret or personal data: brokers and tools
show them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from acme.ports import Record

CONTENT_TYPE: Final = b"application/avro"
ID: Final = "ce_id"
TYPE: Final = "ce_type"
SOURCE: Final = "ce_source"
TIME: Final = "ce_time"
KEY: Final = "ce_partitionkey"
TRACEPARENT: Final = "traceparent"
REQUEST_ID: Final = "acme_request_id"
PRINCIPAL_KIND: Final = "acme_principal_kind"
PRINCIPAL_ID: Final = "acme_principal_id"


def record(
    *,
    source: str,
    event_id: str,
    topic: str,
    key: str,
    kind: str,
    payload: bytes,
    said: Mapping[str, str],
    at: datetime,
) -> Record:
    """The record of a row of the outbox.

    `source` is "/REGION/PLUGIN", `kind` the message's full name, `said` what its unit of work left beside it (request_id,
    traceparent, principal_kind, principal_id), `at` when that committed.
    """
    headers = [
        ("content-type", CONTENT_TYPE),
        ("ce_specversion", b"1.0"),
        (ID, event_id.encode()),
        (SOURCE, source.encode()),
        (TYPE, kind.encode()),
        (TIME, at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z").encode()),
        (KEY, key.encode()),
        ("ce_dataschema", f"/schemas/ids/{int.from_bytes(payload[1:5], 'big')}".encode()),
    ]
    if traceparent := said.get("traceparent"):
        headers += [("ce_traceparent", traceparent.encode()), (TRACEPARENT, traceparent.encode())]
    if request_id := said.get("request_id"):
        headers.append((REQUEST_ID, request_id.encode()))
    headers += [
        (PRINCIPAL_KIND, str(said.get("principal_kind", "")).encode()),
        (PRINCIPAL_ID, str(said.get("principal_id", "")).encode()),
    ]
    return Record(topic, key.encode(), payload, tuple(headers), int(at.timestamp() * 1000), event_id)
