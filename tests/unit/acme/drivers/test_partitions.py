"""Kafka's own test vectors (UtilsTest.testMurmur2), and what follows from them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acme.drivers.partitions import murmur2, partition

VECTORS = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}
"""Key and hash, as a signed number of 32 bits."""


@pytest.mark.parametrize("key", VECTORS)
def test_hashes_are_those_of_kafkas_own_tests(key: bytes) -> None:
    assert murmur2(key) == VECTORS[key] & 0xFFFFFFFF
    assert partition(key, 12) == (VECTORS[key] & 0x7FFFFFFF) % 12


def slow(key: bytes) -> int:
    """murmur2 step by step, as it is written down, with every product cut to 32 bits."""
    factor, low = 0x5BD1E995, 0xFFFFFFFF
    found = 0x9747B28C ^ len(key)
    for at in range(0, len(key) - len(key) % 4, 4):
        word = int.from_bytes(key[at : at + 4], "little") * factor & low
        word = (word ^ word >> 24) * factor & low
        found = found * factor & low ^ word
    rest = key[len(key) - len(key) % 4 :]
    for at in reversed(range(len(rest))):
        found ^= rest[at] << 8 * at
    if rest:
        found = found * factor & low
    found = (found ^ found >> 13) * factor & low
    return found ^ found >> 15


@given(st.binary(max_size=100))
def test_the_quick_way_comes_to_the_same_as_the_slow_one(key: bytes) -> None:
    assert murmur2(key) == slow(key)


@given(st.binary(max_size=20), st.integers(1, 1000))
def test_every_key_has_a_partition_that_there_is(key: bytes, partitions: int) -> None:
    assert 0 <= partition(key, partitions) < partitions
