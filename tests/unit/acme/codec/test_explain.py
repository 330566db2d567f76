"""The explainer by itself; that it agrees with the fast path is tested in test_json.py."""

from __future__ import annotations

import pytest

from acme.codec.explain import explain, token
from acme.contract import load
from acme.errors import Fault, Malformed

CREATE = load("acme.contracts").messages["acme.projects.v1.CreateProjectRequest"]


def test_a_right_body_has_no_faults() -> None:
    assert explain(b'{"name":"n","labels":{"a":"b"},"organization_id":null}', CREATE) == ()


def test_all_faults_are_gathered_in_order_of_the_body() -> None:
    faults = explain(b'{"labels":{"a":1},"name":2,"x":3}', CREATE, frozenset({"name"}))
    assert faults == (
        Fault("/labels/a", "type", "must be a string"),
        Fault("/name", "unknown_field", "there is no such field"),
        Fault("/x", "unknown_field", "there is no such field"),
    )


def test_what_is_no_json_is_malformed() -> None:
    with pytest.raises(Malformed, match="byte 2"):
        explain(b'{"\xff', CREATE)
    with pytest.raises(Malformed, match="line 2, column 1"):
        explain(b"{\n", CREATE)


@pytest.mark.parametrize(
    ("key", "expected"),
    [("a", "a"), ("a/b~c", "a~1b~0c"), ("\ud800", "?"), ("é", "é"), ("x" * 101, "x" * 100 + "…")],
)
def test_keys_become_tokens_of_a_pointer(key: str, expected: str) -> None:
    assert token(key) == expected
