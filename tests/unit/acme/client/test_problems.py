"""Whatever an answer says, a problem can be made of it."""

from __future__ import annotations

import pytest

from acme.client.problems import Problem
from acme.errors import Fault


def test_what_the_platform_says_is_kept() -> None:
    body = b'{"code":"x","title":"T","detail":"D","request_id":"r","errors":[{"pointer":"/a","code":"c","detail":"m"}]}'
    problem = Problem.of(422, body, "7")
    assert (problem.status, problem.code, problem.detail, problem.request_id) == (422, "x", "D", "r")
    assert problem.faults == (Fault("/a", "c", "m"),)
    assert problem.retry_after == 7.0
    assert str(problem) == "422 x: D"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b"null", b'{"errors":[1]}', b"\xff"])
def test_an_answer_of_something_else_is_a_problem_too(body: bytes) -> None:
    problem = Problem.of(502, body, "soon")
    assert (problem.status, problem.code, problem.faults, problem.retry_after) == (502, "", (), None)
