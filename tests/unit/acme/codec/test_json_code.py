"""The functions JSON consists of, one by one."""

from __future__ import annotations

import json

import msgspec
import pytest

from acme.codec.json_code import Counter, Reader, Writer
from acme.codec.shadow import Shadows
from acme.contract import Contracts, load

CONTRACTS = load("acme.contracts")
UPDATE = CONTRACTS.messages["acme.projects.v1.UpdateProjectRequest"]


def test_reading_and_writing_are_each_others_reverse() -> None:
    shadows = Shadows()
    message = UPDATE.cls(id="i", labels={"a": "b"}, if_match=3)
    assert Reader().function(UPDATE)(Writer(shadows).function(UPDATE)(message)) == message


def test_a_partial_reader_fills_the_mask_with_what_was_said() -> None:
    refused = frozenset({"id", "if_match", "update_mask"})
    said = msgspec.json.decode(b'{"description":null,"name":""}', type=Shadows().without(UPDATE, refused))
    message = Reader().partial(UPDATE, refused, "update_mask")(said)
    assert message.update_mask.paths == ["name", "description"]
    assert (message.id, message.if_match) == ("", None)


def keys_in(value: object) -> int:
    if isinstance(value, dict):
        return len(value) + sum(map(keys_in, value.values()))
    return sum(map(keys_in, value)) if isinstance(value, list) else 0


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"string": "", "maybe_int32": None},
        {
            "message": {"name": "n", "numbers": [1]},
            "messages": [{}, {"name": "n"}],
            "message_by_string": {"a": {"name": ""}},
        },
        {"struct": {"a": {"b": [1, {"c": 2}]}}, "value": {"a": 1}, "list": [{"a": 1}], "values": [{"a": {"b": 1}}, 1]},
        {"self": {"self": {"children": [{"string": ""}]}}, "string_by_int32": {"1": ""}, "wrapped_by_string": {"a": 1}},
    ],
)
def test_keys_are_counted_everywhere(trial: Contracts, body: dict[str, object]) -> None:
    everything = trial.messages["trial.v1.Everything"]
    said = msgspec.json.decode(json.dumps(body), type=Shadows().of(everything))
    assert Counter().function(everything)(said) == keys_in(body)
