"""The canonicaliser of transcripts (tests/canonical.py) takes out what it declares, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from acme.testing import Reply
from tests.canonical import answer, canonical, difference


def reply(status: int = 200, body: Any = None, etag: str = '"1"', length: str = "") -> str:
    content = json.dumps(body).encode()
    return answer(Reply(status, {"Content-Length": length or str(len(content)), "ETag": etag}, content))


A, B = "prj_01m821mp30er1rnjnb3atkr46z", "prj_01m821mp30er1rnjnb3atkr470"


def test_what_may_differ_is_taken_out_and_what_may_not_stays() -> None:
    one = reply(body={"id": A, "at": "2026-01-01T00:00:00Z", "then": "2026-01-01T00:00:01.5Z", "access_token": "x"})
    other = reply(body={"id": B, "at": "2027-01-01T00:00:00.25Z", "then": "2027-01-01T00:00:02Z", "access_token": "y"})
    assert difference(canonical(one), canonical(other), ["one", "other"]) == ""


TRACE = "00-0af7651916cd43dd8448eb211c80319c"


def test_the_name_of_a_span_may_differ_and_its_trace_and_whether_two_are_the_same_may_not() -> None:
    def told(*spans: str, trace: str = TRACE, flags: str = "01") -> str:
        return canonical("\n".join(f"traceparent: {trace}-{span}-{flags}" for span in spans))

    one, other = "b7ad6b7169203331", "00f067aa0ba902b7"
    assert told(one, one, other) == told(other, other, one)
    assert told(one, other) != told(one, one)
    assert told(one) != told(one, trace=TRACE[:-1] + "d")
    assert told(one) != told(one, flags="00")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (reply(200), reply(201)),
        (reply(etag='"1"'), reply(etag='"2"')),
        (reply(), reply(length="1")),
        (reply(body=[A, A]), reply(body=[A, B])),
        (reply(body={"a": 1, "b": 2}), reply(body={"b": 2, "a": 1})),
        (reply(body={"version": 1}), reply(body={"version": 2})),
        (reply(body={"next_page_token": ""}), reply(body={"next_page_token": "x"})),
        (
            reply(body=["2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"]),
            reply(body=["2026-01-01T00:00:01Z", "2026-01-01T00:00:00Z"]),
        ),
        (reply(body="2026-02-30T00:00:00Z"), reply(body="2026-02-31T00:00:00Z")),
    ],
)
def test_every_other_difference_is_told(one: str, other: str) -> None:
    assert difference(canonical(one), canonical(other), ["one", "other"])
