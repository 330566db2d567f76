"""What a client asks for, and what of it is there."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from acme.contract import Contracts
from acme.gateway.parts import Part, Parts, parts
from acme.gateway.problems import Rejected
from tests import blobs
from tests.unit.acme.gateway.rig import CONTRACTS


def headers(*pairs: tuple[str, str]) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict(pairs))


@pytest.fixture(name="read")
def _read(trial: Contracts) -> Parts:
    (method,) = (m for m in trial.services["blobs.v1.Blobs"].methods if m.name == "Read")
    found = parts(method)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("bytes=0-0", Part(0, 0)),
        ("bytes=5-9", Part(5, 9)),
        ("bytes=5-", Part(5)),
        ("bytes=-3", Part(-3)),
        ("bytes= 5-9 ", Part(5, 9)),
        ("BYTES=5-9", Part(5, 9)),
        # What is none, or more than one, means the whole.
        ("bytes=9-5", None),
        ("bytes=0-1,4-5", None),
        ("bytes=", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
        ("bytes=--3", None),
        ("bytes=+1-2", None),
        ("bytes=0x1-2", None),
        ("bytes=1-2-3", None),
        ("bytes=٣-", None),
        ("bytes=" + "9" * 19 + "-", None),
        ("items=0-1", None),
        ("0-1", None),
        ("", None),
    ],
)
def test_one_range_of_bytes_is_read_and_all_else_is_the_whole(read: Parts, text: str, wanted: Part | None) -> None:
    assert read.asked(headers(("Range", text))) == wanted


def test_none_and_two_are_the_whole(read: Parts) -> None:
    assert read.asked(headers()) is None
    assert read.asked(headers(("Range", "bytes=0-1"), ("Range", "bytes=4-5"))) is None


@given(st.integers(1, 50), st.integers(-60, 60), st.integers(0, 60))
def test_a_part_is_what_python_would_slice(length: int, first: int, more: int) -> None:
    data = bytes(range(length))
    part = Part(first) if first < 0 else Part(first, first + more)
    wanted = data[first:] if first < 0 else data[first : first + more + 1]
    if wanted:
        start, end = part.within(length)
        assert data[start:end] == wanted
    else:
        with pytest.raises(Rejected) as caught:
            part.within(length)
        assert (caught.value.status, caught.value.headers["Content-Range"]) == (416, f"bytes */{length}")


def test_the_last_zero_bytes_are_not_there(read: Parts) -> None:
    part = read.asked(headers(("Range", "bytes=-0")))
    assert part is not None
    with pytest.raises(Rejected):
        part.within(10)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ('"7"', True),
        ('"8"', False),
        ('W/"7"', False),
        ("7", False),
        ('"7", "8"', False),
        (blobs.CHANGED, True),
        ("Sat, 01 Aug 2026 10:00:01 GMT", False),
        ("", False),
    ],
)
def test_a_part_has_to_fit_to_what_the_client_has(read: Parts, trial: Contracts, given: str, meant: bool) -> None:
    reply: Any = blobs.module().ReadReply(version=7, changed=blobs.CHANGED)
    assert read.meant(headers(("If-Range", given)), reply) is meant


def test_two_conditions_are_none_that_holds(read: Parts, trial: Contracts) -> None:
    reply: Any = blobs.module().ReadReply(version=7)
    assert read.meant(headers(), reply)
    assert not read.meant(headers(("If-Range", '"7"'), ("If-Range", '"7"')), reply)


def test_a_method_whose_contract_says_nothing_of_it_gives_no_parts() -> None:
    methods = [method for service in CONTRACTS.services.values() for method in service.methods]
    assert methods
    assert {parts(method) for method in methods} == {None}
