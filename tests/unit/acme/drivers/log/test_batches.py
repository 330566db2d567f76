"""How records are written down."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from acme.drivers.log.batches import LARGEST, Stored, pack, unpack
from acme.ports import Received, Record

HEADERS = st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=5)), max_size=3).map(tuple)
RECORDS = st.builds(
    Record,
    topic=st.just("t"),
    key=st.binary(max_size=5),
    value=st.none() | st.binary(max_size=9),
    headers=HEADERS,
    timestamp=st.integers(0, 1 << 53),
    id=st.text(),
)


@given(st.lists(RECORDS, min_size=1, max_size=5), st.integers(0, 1 << 60), st.integers(-3, 6))
def test_records_come_back_as_they_were_with_their_offsets(records: list[Record], first: int, ahead: int) -> None:
    [batch] = pack(records)
    assert batch.length == len(records)
    stored = Stored(1, first + batch.length, batch.length, batch.content)
    assert unpack("t", 3, stored, first + ahead) == [
        Received("t", 3, first + index, one.key, one.value, one.headers, one.timestamp)
        for index, one in enumerate(records)
        if index >= ahead
    ]


def test_many_bytes_become_several_batches_and_one_record_stays_whole() -> None:
    records = [Record("t", b"%d" % number, bytes(LARGEST // 3), (), 0, str(number)) for number in range(10)]
    records.append(Record("t", b"10", bytes(3 * LARGEST), (), 0, "10"))
    found = pack(records)
    assert all(len(batch.content) <= LARGEST or batch.length == 1 for batch in found)
    keys, end = [], 0
    for batch in found:
        end += batch.length
        keys += [one.key for one in unpack("t", 0, Stored(1, end, batch.length, batch.content), 0)]
    assert keys == [one.key for one in records]
