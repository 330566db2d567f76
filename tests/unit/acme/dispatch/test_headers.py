"""Header blocks without a table, read by hpack and read back."""

from __future__ import annotations

import pytest
from hpack import Decoder, Encoder, NeverIndexedHeaderTuple
from hypothesis import given
from hypothesis import strategies as st

from acme.dispatch.headers import Reader, Writer, joined, literal, start, value, written

NAMES = st.sampled_from([b":path", b":status", b"content-type", b"authorization", b"te", b"acme-service", b"x" * 200])
HEADERS = st.lists(st.tuples(NAMES, st.binary(max_size=400)), min_size=1, max_size=8)
REQUEST = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/a.A/B"), (b"te", b"trailers")]


def plain(headers: object) -> list[tuple[bytes, bytes]]:
    return [(name, text) for name, text in headers]  # type: ignore[attr-defined]  # whatever a decoder returns


@given(HEADERS)
def test_what_is_written_is_what_hpack_and_we_read(headers: list[tuple[bytes, bytes]]) -> None:
    block = Writer().encode(written(headers))
    assert plain(Decoder().decode(block, raw=True)) == headers
    assert plain(Reader().decode(block, raw=True)) == headers


@given(HEADERS, st.booleans())
def test_what_hpack_writes_is_read(headers: list[tuple[bytes, bytes]], huffman: bool) -> None:
    encoder, reader = Encoder(), Reader()
    for _ in range(3):  # with what the tables hold from before
        assert plain(reader.decode(encoder.encode(headers, huffman), raw=True)) == headers
        secrets = [NeverIndexedHeaderTuple(name, text) for name, text in headers]
        assert plain(reader.decode(encoder.encode(secrets, huffman), raw=True)) == headers


@given(st.binary(max_size=80))
def test_any_bytes_mean_what_they_mean_to_hpack(data: bytes) -> None:
    try:
        known = plain(Decoder().decode(data, raw=True))
    except Exception as error:  # of many kinds; ours is no other
        with pytest.raises(type(error)):
            Reader().decode(data, raw=True)
    else:
        assert plain(Reader().decode(data, raw=True)) == known


def test_blocks_in_tables_and_out_of_them_mix() -> None:
    encoder, reader = Encoder(), Reader()
    indexed = [(b"acme-service", b"gateway")]
    for _ in range(3):
        assert plain(reader.decode(encoder.encode(indexed), raw=True)) == indexed
        assert plain(reader.decode(Writer().encode(written(REQUEST)), raw=True)) == REQUEST


def test_a_block_is_put_together_from_what_is_constant_and_what_is_not() -> None:
    block = b"".join(literal(*pair) for pair in REQUEST) + start(b"grpc-timeout") + value(b"10S")
    assert plain(Reader().decode(Writer().encode(joined(block)), raw=True)) == [*REQUEST, (b"grpc-timeout", b"10S")]


def test_nothing_that_differs_enters_a_table() -> None:
    decoder = Decoder()
    decoder.decode(Writer().encode(written([*REQUEST, (b"authorization", b"Bearer secret")])), raw=True)
    assert len(decoder.header_table.dynamic_entries) == 0


def test_a_list_of_headers_that_is_too_large_is_refused_as_hpack_does() -> None:
    reader = Reader()
    reader.max_header_list_size = 1000
    with pytest.raises(Exception, match="larger than 1000"):
        reader.decode(Writer().encode(written([(b"a", b"x" * 2000)])), raw=True)
