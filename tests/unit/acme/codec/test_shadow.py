"""Shadows refuse what is not in the contract, and tell absent from null."""

from __future__ import annotations

import msgspec
import pytest
from msgspec import UNSET

from acme.codec.shadow import Shadow, Shadows
from acme.contract import Contracts, load

CONTRACTS = load("acme.contracts")
UPDATE = CONTRACTS.messages["acme.projects.v1.UpdateProjectRequest"]


def decode(shadow: Shadow, body: bytes) -> object:
    return msgspec.json.decode(body, type=shadow)


def test_absent_null_and_given_differ() -> None:
    said = decode(Shadows().of(UPDATE), b'{"name":null,"description":""}')
    assert [getattr(said, name) for name in ("id", "name", "description")] == [UNSET, None, ""]


def test_unknown_and_excluded_fields_are_refused() -> None:
    shadows = Shadows()
    for shadow, body in ((shadows.of(UPDATE), b'{"x":1}'), (shadows.without(UPDATE, frozenset({"id"})), b'{"id":"i"}')):
        with pytest.raises(msgspec.ValidationError, match="unknown field"):
            decode(shadow, body)


def test_a_shadow_is_made_once() -> None:
    shadows = Shadows()
    assert shadows.of(UPDATE) is shadows.of(UPDATE)


def test_messages_that_contain_themselves_have_shadows(trial: Contracts) -> None:
    body = b'{"self":{"children":[{"child_by_string":{"a":{"string":"deep"}}}]}}'
    assert msgspec.to_builtins(decode(Shadows().of(trial.messages["trial.v1.Everything"]), body)) == {
        "self": {"children": [{"child_by_string": {"a": {"string": "deep"}}}]}
    }


def test_messages_that_contain_each_other_have_shadows() -> None:
    struct, value = CONTRACTS.messages["google.protobuf.Struct"], CONTRACTS.messages["google.protobuf.Value"]
    shadows = Shadows()
    assert decode(shadows.of(struct), b'{"fields":{}}') is not None
    assert decode(shadows.of(value), b"{}") is not None
