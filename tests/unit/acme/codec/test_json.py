"""JSON comes back as it went out, and everything that is wrong with a body is said at once."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from acme.codec.json import Json
from acme.contract import Contracts, Message, load
from acme.errors import Fault, Invalid, Malformed
from tests import neutral

OURS = load("acme.contracts")
MESSAGES = [m for name, m in sorted(OURS.messages.items()) if name.startswith("acme.")]
JSON = Json(OURS)
PROJECT = OURS.messages["acme.projects.v1.Project"]
CREATE = OURS.messages["acme.projects.v1.CreateProjectRequest"]
UPDATE = OURS.messages["acme.projects.v1.UpdateProjectRequest"]
RULES = OURS.messages["acme.options.v1.Rules"]


@pytest.fixture(scope="module")
def strangers(trial: Contracts) -> Json:
    return Json(trial)


@pytest.fixture(scope="module")
def everything(trial: Contracts) -> Message:
    return trial.messages["trial.v1.Everything"]


def faults(body: bytes | str, m: Message = CREATE, codec: Json = JSON) -> list[tuple[str, str]]:
    """Pointer and code of every fault of a body."""
    with pytest.raises(Invalid) as refused:
        codec.decoder(m)(body.encode() if isinstance(body, str) else body)
    return [(fault.pointer, fault.code) for fault in refused.value.faults]


class TestThereAndBack:
    @pytest.mark.soak
    @given(data=st.data())
    def test_our_messages_come_back_equal(self, data: st.DataObject) -> None:
        m = data.draw(st.sampled_from(MESSAGES))
        message = neutral.ours(m, data.draw(neutral.plain_messages(m, for_json=True)))
        back = JSON.decoder(m)(JSON.encoder(m)(message))
        assert back == message
        assert m.cls.parse(bytes(back)) == message

    @pytest.mark.soak
    @given(data=st.data())
    def test_every_type_comes_back_equal(self, data: st.DataObject, strangers: Json, everything: Message) -> None:
        message = neutral.ours(everything, data.draw(neutral.plain_messages(everything, for_json=True)))
        encoded = strangers.encoder(everything)(message)
        assert strangers.decoder(everything)(encoded) == message
        assert strangers.decoder(everything)(json.dumps(json.loads(encoded)).encode()) == message

    def test_a_decoded_message_is_like_one_that_was_constructed(self) -> None:
        decoded = JSON.decoder(CREATE)(b'{"name":"n","labels":{"a":"b"}}')
        made = CREATE.cls(name="n", labels={"a": "b"})
        assert decoded == made
        assert vars(decoded) == vars(made)
        assert bytes(decoded) == bytes(made)

    def test_scalars_and_collections_are_always_there_and_absent_messages_never(self) -> None:
        shown = json.loads(JSON.encoder(PROJECT)(PROJECT.cls(id="prj_1")))
        assert shown == {
            "id": "prj_1",
            "organization_id": "",
            "owner_id": "",
            "name": "",
            "description": "",
            "labels": {},
            "archived": False,
            "region": "",
            "version": 0,
        }

    def test_times_are_rfc_3339_in_utc(self) -> None:
        there = datetime(2026, 1, 31, 13, 0, 0, 5, tzinfo=timezone(timedelta(hours=1)))
        assert b'"created_at":"2026-01-31T12:00:00.000005Z"' in JSON.encoder(PROJECT)(PROJECT.cls(created_at=there))
        back = JSON.decoder(PROJECT)(b'{"created_at":"2026-01-31T13:00:00.000005+01:00"}')
        assert back.created_at == there
        assert back.created_at.tzinfo is UTC

    @pytest.mark.parametrize(
        ("field", "value", "text"),
        [
            ("span", timedelta(seconds=1, milliseconds=500), '"1.500s"'),
            ("span", -timedelta(microseconds=1), '"-0.000001s"'),
            ("span", timedelta(days=1), '"86400s"'),
            ("colour", 5, '"COLOUR_BLUE"'),
            ("colour", 77, "77"),
            ("bytes", b"\x00\xff", '"AP8="'),
            ("int64", 2**53 - 1, "9007199254740991"),
            ("double_by_bool", {True: 1.0}, '{"true":1.0}'),
            ("wrapped_int64", 3, "3"),
            ("empty", "EMPTY", "{}"),
            ("class_", "kept", '"kept"'),
        ],
    )
    def test_values_look_as_documented(
        self, trial: Contracts, strangers: Json, everything: Message, field: str, value: Any, text: str
    ) -> None:
        given = trial.messages["google.protobuf.Empty"].cls() if value == "EMPTY" else value
        given = type(everything.cls().colour)(value) if field == "colour" else given
        encoded = strangers.encoder(everything)(everything.cls(**{field: given})).decode()
        assert f'"{field.rstrip("_")}":{text}' in encoded

    @given(
        value=st.recursive(
            st.none() | st.booleans() | st.integers(-99, 99) | neutral.TEXT,
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(neutral.TEXT, inner, max_size=3),
        )
    )
    @example({"a": [None, {"b": 1.5}], "c": True})
    def test_free_json_is_kept(self, strangers: Json, everything: Message, value: Any) -> None:
        decoded = strangers.decoder(everything)(
            json.dumps({"value": value, "struct": {"x": value}, "list": [value]}).encode()
        )
        shown = json.loads(strangers.encoder(everything)(decoded))
        assert (shown["value"], shown["struct"], shown["list"]) == (value, {"x": value}, [value])

    @pytest.mark.parametrize(
        "message",
        [
            {"version": 2**53},
            {"version": -(2**53)},
            {"created_at": datetime(2026, 1, 1)},
            {"name": "\ud800"},
        ],
    )
    def test_what_json_cannot_say_is_not_encoded(self, message: dict[str, Any]) -> None:
        with pytest.raises(ValueError):  # noqa: PT011  # of msgspec or ours
            JSON.encoder(PROJECT)(PROJECT.cls(**message))

    @pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
    def test_json_has_no_odd_numbers(self, strangers: Json, everything: Message, number: float) -> None:
        with pytest.raises(ValueError, match="NaN"):
            strangers.encoder(everything)(everything.cls(double=number))


class TestNull:
    def test_null_is_the_same_as_leaving_out(self, strangers: Json, everything: Message) -> None:
        nothing = ",".join(f'"{f.name}":null' for f in everything.fields if f.name != "value")
        assert strangers.decoder(everything)(f"{{{nothing}}}".encode()) == everything.cls()

    def test_null_is_a_value_of_free_json(self, strangers: Json, everything: Message) -> None:
        assert strangers.decoder(everything)(b'{"value":null}').value.null_value == 0
        assert strangers.decoder(everything)(b"{}").value is None

    @pytest.mark.parametrize(
        ("body", "at"),
        [('{"strings":[null]}', "/strings/0"), ('{"string_by_string":{"a":null}}', "/string_by_string/a")],
    )
    def test_null_is_no_entry(self, strangers: Json, everything: Message, body: str, at: str) -> None:
        assert faults(body, everything, strangers) == [(at, "type")]


class TestMask:
    decode = staticmethod(JSON.decoder(UPDATE, exclude=frozenset({"id", "if_match"}), mask="update_mask"))

    def test_the_mask_is_the_set_of_keys(self) -> None:
        message = self.decode(b'{"labels":null,"name":"n"}')
        assert message.update_mask.paths == ["name", "labels"]
        assert (message.name, message.labels, message.description) == ("n", {}, "")

    def test_an_empty_body_masks_nothing(self) -> None:
        assert self.decode(b"{}").update_mask.paths == []

    @pytest.mark.parametrize("field", ["id", "if_match", "update_mask"])
    def test_what_comes_from_elsewhere_is_unknown(self, field: str) -> None:
        with pytest.raises(Invalid) as refused:
            self.decode(f'{{"{field}":null}}'.encode())
        assert [(fault.pointer, fault.code) for fault in refused.value.faults] == [(f"/{field}", "unknown_field")]


class TestRefusals:
    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{",
            b'{"name":}',
            b"{'name':1}",
            b'{"name":"\xff"}',
            b'{"name":"\xed\xa0\x80"}',
            b'{"name":"\n"}',
            b"{} {}",
            b"\xef\xbb\xbf{}",
        ],
    )
    def test_what_is_not_json_is_malformed(self, body: bytes) -> None:
        with pytest.raises(Malformed) as refused:
            JSON.decoder(CREATE)(body)
        assert refused.value.reason == "malformed_json"

    def test_a_malformed_body_is_placed_and_not_repeated(self) -> None:
        with pytest.raises(Malformed) as refused:
            JSON.decoder(CREATE)(b'{"name": "hunter2",\n  "description": hunter2}')
        assert refused.value.message == "the body is not valid JSON: line 2, column 18"

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            ("[]", [("", "type")]),
            ("null", [("", "type")]),
            ('"x"', [("", "type")]),
            ("NaN", [("", "not_a_number")]),
            ('{"nmae":1}', [("/nmae", "unknown_field")]),
            ('{"a/b~c":1}', [("/a~1b~0c", "unknown_field")]),
            ('{"name":5}', [("/name", "type")]),
            ('{"name":true,"description":[]}', [("/name", "type"), ("/description", "type")]),
            ('{"labels":[]}', [("/labels", "type")]),
            ('{"labels":{"a":1,"b":{}}}', [("/labels/a", "type"), ("/labels/b", "type")]),
            ('{"name":"a","name":"b"}', [("/name", "duplicate_key")]),
            ('{"name" : "a" , "name" : "b"}', [("/name", "duplicate_key")]),
            ('{"name":"a","n\\u0061me":"b"}', [("/name", "duplicate_key")]),
            ('{"name":"\\":","name":"b"}', [("/name", "duplicate_key")]),
            ('{"labels":{"a":"1","a":"2"}}', [("/labels/a", "duplicate_key")]),
            ('{"x":{"a":1,"a":2}}', [("/x", "unknown_field")]),
            ('{"name":"\\u0000"}', [("/name", "nul")]),
            ('{"labels":{"\\u0000":"a"}}', [("/labels/\0", "nul")]),
            ('{"name":"\\ud800"}', [("/name", "surrogate")]),
            ('{"name":"\\uDFFF\\u0000"}', [("/name", "nul"), ("/name", "surrogate")]),
            ('{"labels":{"\\ud800":"a"}}', [("/labels/?", "surrogate")]),
            ('{"name":NaN,"description":-Infinity}', [("/name", "not_a_number"), ("/description", "not_a_number")]),
            ('{"name":1e999}', [("/name", "type")]),
        ],
    )
    def test_every_fault_has_its_pointer_and_code(self, body: str, expected: list[tuple[str, str]]) -> None:
        assert faults(body) == expected

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            ('{"int32":2147483648}', [("/int32", "range")]),
            ('{"uint32":-1}', [("/uint32", "range")]),
            ('{"int64":9007199254740992}', [("/int64", "range")]),
            ('{"uint64":18446744073709551615}', [("/uint64", "range")]),
            ('{"int32":1.0}', [("/int32", "type")]),
            ('{"int32":"1"}', [("/int32", "type")]),
            ('{"int32":true}', [("/int32", "type")]),
            ('{"int64":' + "9" * 5000 + "}", [("/int64", "range")]),
            ('{"double":1e999,"float":1e39}', [("/double", "range"), ("/float", "range")]),
            ('{"double":' + "9" * 500 + "}", [("/double", "range")]),
            ('{"double":"1","bool":1}', [("/double", "type"), ("/bool", "type")]),
            ('{"colour":"COLOUR_GREEN","colours":[1]}', [("/colour", "enum"), ("/colours/0", "type")]),
            ('{"bytes":"*","bytes_list":["YQ"]}', [("/bytes", "format"), ("/bytes_list/0", "format")]),
            ('{"time":"2026-01-31T12:00:00"}', [("/time", "format")]),
            ('{"time":"0001-01-01T00:00:00+14:00"}', [("/time", "format")]),
            ('{"time":1700000000,"times":[""]}', [("/time", "type"), ("/times/0", "format")]),
            ('{"span":"1","spans":["9999999999999s"]}', [("/span", "format"), ("/spans/0", "format")]),
            ('{"struct":[],"list":{}}', [("/struct", "type"), ("/list", "type")]),
            ('{"struct":{"a":1,"a":2}}', [("/struct/a", "duplicate_key")]),
            ('{"value":[{"a":NaN}]}', [("/value/0/a", "not_a_number")]),
            ('{"value":1e999}', [("/value", "range")]),
            (
                '{"string_by_int32":{"01":"","x":"","99999999999":"","1":""}}',
                [("/string_by_int32/" + k, "type") for k in ("01", "x", "99999999999")],
            ),
            ('{"double_by_bool":{"yes":1}}', [("/double_by_bool/yes", "type")]),
            ('{"chosen_string":"","chosen_int64":0}', [("", "oneof")]),
            ('{"self":{"chosen_string":"","chosen_int64":0}}', [("/self", "oneof")]),
            ('{"children":[{},{"self":{"x":1}}]}', [("/children/1/self/x", "unknown_field")]),
            ('{"child_by_string":{"a~":{"x":1}}}', [("/child_by_string/a~0/x", "unknown_field")]),
            (
                '{"wrapped_int32":2147483648,"wrapped_string":1}',
                [("/wrapped_int32", "range"), ("/wrapped_string", "type")],
            ),
            ('{"messages":{},"message":[]}', [("/messages", "type"), ("/message", "type")]),
        ],
    )
    def test_every_type_explains_itself(
        self, strangers: Json, everything: Message, body: str, expected: list[tuple[str, str]]
    ) -> None:
        assert faults(body, everything, strangers) == expected

    def test_no_fault_repeats_a_value(self, strangers: Json, everything: Message) -> None:
        wrong = dict.fromkeys(["int32", "colour", "bytes", "time", "strings", "unknown"], "hunter2*")
        with pytest.raises(Invalid) as refused:
            strangers.decoder(everything)(json.dumps(wrong).encode())
        assert len(refused.value.faults) == 6
        assert "hunter2" not in repr(refused.value.faults) + refused.value.message

    def test_there_are_at_most_a_hundred_faults(self) -> None:
        assert len(faults(json.dumps({f"x{n}": 1 for n in range(1000)}))) == 100

    def test_long_keys_are_cut(self) -> None:
        ((pointer, _),) = faults(json.dumps({"x" * 10_000: 1}))
        assert len(pointer) < 110


class TestDepth:
    def test_64_levels_are_read(self) -> None:
        assert JSON.decoder(RULES)(b'{"keys":' * 63 + b"{}" + b"}" * 63) is not None

    def test_65_are_not(self) -> None:
        ((pointer, code),) = faults(b'{"keys":' * 64 + b"{}" + b"}" * 64, RULES)
        assert (pointer, code) == ("/keys" * 64, "depth")

    @pytest.mark.parametrize("levels", [64, 900, 5_000, 200_000])
    def test_free_json_is_not_deeper_either(self, strangers: Json, everything: Message, levels: int) -> None:
        found = faults(b'{"value":' + b"[" * levels + b"]" * levels + b"}", everything, strangers)
        assert [code for _, code in found] == ["depth"]

    def test_an_unknown_field_may_be_as_deep_as_it_likes(self) -> None:
        assert faults(b'{"x":' + b"[" * 200_000 + b"]" * 200_000 + b"}") == [("", "depth")]

    def test_wide_is_not_deep(self, strangers: Json, everything: Message) -> None:
        decoded = strangers.decoder(everything)(json.dumps({"value": [[]] * 1000}).encode())
        assert len(decoded.value.list_value.values) == 1000


@given(body=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        JSON.decoder(CREATE)(body)
    except (Malformed, Invalid):
        return
    assert isinstance(json.loads(body), dict)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@pytest.mark.soak
@given(data=st.data())
def test_whatever_is_refused_is_explained(data: st.DataObject, strangers: Json, everything: Message) -> None:
    names = [f.name for f in everything.fields]
    body = data.draw(st.dictionaries(st.sampled_from(names), JSON_VALUES, max_size=4))
    found: tuple[Fault, ...] = ()
    try:
        strangers.decoder(everything)(json.dumps(body).encode())
    except Invalid as refused:
        found = refused.faults
    assert all(fault.message != "must keep to the contract" for fault in found)


def test_a_message_of_other_contracts_is_refused() -> None:
    with pytest.raises(KeyError, match="other contracts"):
        JSON.encoder(load("acme.contracts").messages[PROJECT.name])


def test_a_struct_that_is_the_whole_body_is_any_object() -> None:
    decode = JSON.decoder(OURS.messages["google.protobuf.Struct"])
    assert decode(b'{"a":1,"b":{"c":[null,true,"x"]}}').to_dict() == {"a": 1.0, "b": {"c": [None, True, "x"]}}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b"[]", ""),
        (b'{"a":1,"a":2}', "/a"),
        (b'{"a":{"b":"\\u0000"}}', "/a/b"),
        (b'{"a":1e999}', "/a"),
        (b'{"a":NaN}', "/a"),
        (b'{"a":' * 80 + b"1" + b"}" * 80, "/a" * 64),
        (b'{"a":' * 9000 + b"1" + b"}" * 9000, ""),
    ],
)
def test_what_a_struct_cannot_hold_is_refused_with_its_place(body: bytes, pointer: str) -> None:
    with pytest.raises(Invalid) as caught:
        JSON.decoder(OURS.messages["google.protobuf.Struct"])(body)
    assert [fault.pointer for fault in caught.value.faults] == [pointer]
