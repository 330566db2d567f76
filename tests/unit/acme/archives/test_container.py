"""Container files are Avro's own, the same for the same content, and notice every byte that is another."""

from __future__ import annotations

import io
import os
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acme.archives import Damaged, container

SCHEMA: Any = {"type": "record", "name": "Thing", "fields": [{"name": "text", "type": "string"}]}
SYNC = bytes(range(16))


def records(texts: list[str]) -> list[bytes]:
    made = []
    for text in texts:
        out = io.BytesIO()
        fastavro.schemaless_writer(out, SCHEMA, {"text": text})
        made.append(out.getvalue())
    return made


@given(st.lists(st.text(max_size=50), max_size=20))
def test_another_reader_of_avro_reads_what_is_written(texts: list[str]) -> None:
    content = container.write(SCHEMA, {"acme.note": "x"}, records(texts), SYNC)
    reader = fastavro.reader(io.BytesIO(content))
    assert [each["text"] for each in reader if isinstance(each, dict)] == texts
    assert reader.metadata["acme.note"] == "x"
    assert content == container.write(SCHEMA, {"acme.note": "x"}, records(texts), SYNC)


def test_bytes_after_the_end_of_a_blocks_compression_are_damage() -> None:
    out = io.BytesIO()
    fastavro.writer(out, SCHEMA, [{"text": "a"}], codec="deflate")  # it leaves bytes of a checksum there
    with pytest.raises(Damaged, match="not whole"):
        container.read(out.getvalue())


def test_many_records_are_several_blocks() -> None:
    made = records([os.urandom(20_000).hex() for _ in range(10)])
    found = container.read(container.write(SCHEMA, {}, made, SYNC))
    assert len(found.blocks) > 2
    assert b"".join(block.content for block in found.blocks) == b"".join(made)
    assert sum(block.count for block in found.blocks) == 10


def test_a_file_that_is_cut_anywhere_is_damaged() -> None:
    content = container.write(SCHEMA, {}, records(["a", "b"]), SYNC)
    header = len(container.write(SCHEMA, {}, [], SYNC))
    for size in range(len(content)):
        if size != header:  # a file without records is one
            with pytest.raises(Damaged):
                container.read(content[:size])
    with pytest.raises(Damaged):
        container.read(content + b"\0")


def test_a_sync_marker_has_sixteen_bytes() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        container.write(SCHEMA, {}, [], b"short")


@given(st.binary(max_size=300))
def test_garbage_is_damaged(garbage: bytes) -> None:
    for content in (garbage, container.MAGIC + garbage):
        with pytest.raises(Damaged):
            container.read(content)
