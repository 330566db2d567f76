"""Each rule that a contract must keep has a contract that breaks it."""

from __future__ import annotations

from pathlib import Path

import pytest

from acme.codegen import generate
from acme.contract import ContractError

HEAD = """
syntax = "proto3";
package wrong.v1;
import "acme/options/v1/options.proto";
import "google/api/annotations.proto";
import "google/protobuf/field_mask.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
message M {
  string id = 1;
  M inner = 2;
  repeated string tags = 3;
  google.protobuf.Timestamp time = 4;
}
message P {
  string id = 1;
  google.protobuf.FieldMask update_mask = 2;
}
"""


def faults(text: str, folder: Path) -> list[str]:
    """What is wrong with a contract, without the name of its file."""
    (folder / "wrong.proto").write_text(HEAD + text)
    with pytest.raises(ContractError) as refused:
        generate(folder, "wrong_contracts")
    assert refused.value.package == "wrong_contracts"
    assert all(fault.startswith("wrong.proto: ") for fault in refused.value.faults)
    return [fault.removeprefix("wrong.proto: ") for fault in refused.value.faults]


def method(*options: str, request: str = "M") -> str:
    lines = " ".join(f"option {option};" for option in options)
    return f"service S {{ rpc Do({request}) returns (M) {{ {lines} }} }}"


PUBLIC = "(acme.options.v1.public) = true"
PERMISSION = '(acme.options.v1.permission) = "m.do"'
INTERNAL = '(acme.options.v1.internal) = {callers: "users"}'


def http(rule: str) -> str:
    return f"(google.api.http) = {{{rule}}}"


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ((), "needs one of the options permission, public and internal"),
        ((PUBLIC, PERMISSION), "has permission and public; these exclude each other"),
        ((PERMISSION, INTERNAL), "has permission and internal; these exclude each other"),
        ((INTERNAL, http('post: "/m" body: "*"')), "is internal and has a REST route"),
        (("(acme.options.v1.internal) = {}",), "internal names no caller"),
        (
            (PUBLIC, http('post: "/{nmae}" body: "*"')),
            "POST /{nmae}: the path variable 'nmae' is no field of wrong.v1.M",
        ),
        (
            (PUBLIC, http('post: "/{inner}" body: "*"')),
            "POST /{inner}: the path variable 'inner' has to be a single scalar",
        ),
        (
            (PUBLIC, http('post: "/{tags}" body: "*"')),
            "POST /{tags}: the path variable 'tags' has to be a single scalar",
        ),
        ((PUBLIC, http('post: "m" body: "*"')), "POST m: a path starts with /"),
        ((PUBLIC, http('get: "/m" body: "*"')), "GET /m: GET has no body"),
        ((PUBLIC, http('post: "/m" body: "x"')), "POST /m: the body 'x' is no field of wrong.v1.M"),
        ((PUBLIC, http('patch: "/m" body: "*"')), "PATCH /m: PATCH needs a google.protobuf.FieldMask in wrong.v1.M"),
        ((PUBLIC, http('get: "/m"')), "GET /m: 'inner' does not fit into a query parameter"),
        ((PUBLIC, "(acme.options.v1.success_status) = 404"), "success_status 404 is no success"),
        ((PUBLIC, "(acme.options.v1.timeout) = 0"), "timeout 0 is not above 0 and at most 3600 seconds"),
        ((PUBLIC, "(acme.options.v1.timeout) = 3601"), "timeout 3601 is not above 0 and at most 3600 seconds"),
        ((PUBLIC, "(acme.options.v1.timeout) = nan"), "timeout nan is not above 0 and at most 3600 seconds"),
        ((PUBLIC, "(acme.options.v1.cost) = 0"), "cost 0 is not 1 to 1000"),
        ((PUBLIC, "(acme.options.v1.cost) = 1001"), "cost 1001 is not 1 to 1000"),
        (
            (PUBLIC, http('get: "/m"'), "(acme.options.v1.cache) = {}"),
            "cache: max_age 0 is not 1 to 31536000 seconds",
        ),
        (
            (PUBLIC, http('post: "/m" body: "*"'), "(acme.options.v1.cache) = {max_age: 1}"),
            "cache: only the answer to a GET is kept",
        ),
        ((PUBLIC, "(acme.options.v1.cache) = {max_age: 1}"), "cache: only the answer to a GET is kept"),
        (
            (PUBLIC, "(acme.options.v1.secret_reply) = true", "(acme.options.v1.cache) = {max_age: 1}"),
            "cache: the reply holds a secret",
        ),
        (
            (PERMISSION, "(acme.options.v1.cache) = {max_age: 1 shared: true}"),
            "cache: shared is for everybody, and the method is not public",
        ),
    ],
)
def test_a_wrong_method_is_refused(tmp_path: Path, options: tuple[str, ...], fault: str) -> None:
    assert f"wrong.v1.S.Do: {fault}" in faults(method(*options), tmp_path)


def test_a_body_is_a_message(tmp_path: Path) -> None:
    assert "wrong.v1.S.Do: POST /m: the body 'id' has to be a message" in faults(
        method(PUBLIC, http('post: "/m" body: "id"')), tmp_path
    )


def test_a_patch_has_a_body(tmp_path: Path) -> None:
    assert "wrong.v1.S.Do: PATCH /m: PATCH needs a body" in faults(
        method(PUBLIC, http('patch: "/m"'), request="P"), tmp_path
    )


def test_a_reply_with_a_secret_in_it_is_not_kept_however_deep_that_is(tmp_path: Path) -> None:
    wrong = f"""service S {{ rpc Do(P) returns (Outer) {{
      option {PUBLIC}; option {http('get: "/m"')}; option (acme.options.v1.cache) = {{max_age: 1}};
    }} }}
    message Outer {{ map<string, Outer> others = 1; repeated Inner inner = 2; }}
    message Inner {{ string password = 1 [(acme.options.v1.secret) = true]; }}"""
    assert "wrong.v1.S.Do: cache: the reply holds a secret" in faults(wrong, tmp_path)


def test_two_methods_on_one_route_are_refused_whatever_their_variables_are_called(tmp_path: Path) -> None:
    wrong = f"""service S {{
      rpc A(P) returns (M) {{ option {PUBLIC}; option {http('get: "/m/{id}"')}; }}
      rpc B(M) returns (M) {{ option {PUBLIC}; option {http('get: "/m/{time}"')}; }}
      rpc C(P) returns (M) {{ option {PUBLIC}; option {http('post: "/m/{id}"')}; }}
    }}"""
    assert "wrong.v1.S.B: GET /m/{time}: is the route of /wrong.v1.S/A too" in faults(wrong, tmp_path)


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        ('{option (acme.options.v1.event) = {topic: "t" key: "id"};}', "the event's key 'id' is no field"),
        ('{option (acme.options.v1.event) = {key: "id"}; string id = 1;}', "the event has no topic"),
        (
            '{option (acme.options.v1.event) = {topic: "t" key: "ids"}; repeated string ids = 1;}',
            "the event's key 'ids' has to be a single string or integer",
        ),
        (
            '{option (acme.options.v1.event) = {topic: "t" key: "id" organization: "o.id"}; string id = 1; int64 o = 2;}',
            "the event's organization 'o.id' has to be the path of a single string",
        ),
        ('{string a = 1 [(acme.options.v1.header) = "If Match"];}', "a: 'If Match' cannot be the name of a header"),
        ('{repeated string a = 1 [(acme.options.v1.header) = "X"];}', "a: a header holds a single scalar"),
        ('{M a = 1 [(acme.options.v1.header) = "X"];}', "a: a header holds a single scalar"),
        ('{bytes a = 1 [(acme.options.v1.header) = "X"];}', "a: a header holds a single scalar"),
        (
            '{string a = 1 [(acme.options.v1.example) = "Ada"];}',
            "a: the example 'Ada' is no JSON; text has quotation marks of its own",
        ),
    ],
)
def test_a_wrong_message_is_refused(tmp_path: Path, message: str, fault: str) -> None:
    assert faults(f"message W {message}", tmp_path) == [f"W: {fault}"]


@pytest.mark.parametrize(
    ("field", "rules", "fault"),
    [
        ("int32 a", "required: true", "the rule required says nothing about this type"),
        ("bool a", "required: true", "the rule required says nothing about this type"),
        ("int32 a", "max_length: 1", "the rule max_length says nothing about this type"),
        ("string a", "minimum: 1", "the rule minimum says nothing about this type"),
        ("string a", "max_items: 1", "the rule max_items says nothing about this type"),
        ("repeated string a", "max_length: 1", "the rule max_length says nothing about this type"),
        ("repeated string a", "keys: {max_length: 1}", "the rule keys says nothing about this type"),
        ("repeated int32 a", "values: {max_length: 1}", "values: the rule max_length says nothing about this type"),
        ("map<int32, M> a", 'keys: {pattern: "x"}', "keys: the rule pattern says nothing about this type"),
        ("M a", 'id: "abc"', "the rule id says nothing about this type"),
        ("string a", "min_length: 2 max_length: 1", "min_length is greater than max_length"),
        ("int32 a", "minimum: 2 maximum: 1", "minimum is greater than maximum"),
        ("repeated M a", "min_items: 2 max_items: 1", "min_items is greater than max_items"),
        ("string a", 'id: "ID"', "the id prefix 'ID' is not 1 to 16 lower-case letters"),
    ],
)
def test_a_rule_that_cannot_hold_is_refused(tmp_path: Path, field: str, rules: str, fault: str) -> None:
    wrong = f"message W {{{field} = 1 [(acme.options.v1.rules) = {{{rules}}}];}}"
    assert faults(wrong, tmp_path) == [f"W: a: {fault}"]


def test_a_pattern_has_to_be_one(tmp_path: Path) -> None:
    (fault,) = faults('message W {string a = 1 [(acme.options.v1.rules) = {pattern: "("}];}', tmp_path)
    assert fault.startswith("W: a: the pattern is none: ")


def test_all_faults_of_a_package_are_told_at_once(tmp_path: Path) -> None:
    assert len(faults(method() + 'message W {repeated string a = 1 [(acme.options.v1.header) = "X"];}', tmp_path)) == 2


def test_wrappers_have_the_rules_of_what_they_hold(tmp_path: Path) -> None:
    fine = "message W {google.protobuf.StringValue a = 1 [(acme.options.v1.rules) = {max_length: 1}];}"
    (tmp_path / "fine.proto").write_text(HEAD + fine)
    assert generate(tmp_path, "fine_contracts")


def test_the_events_of_an_aggregate_agree_on_whether_it_has_an_organisation(tmp_path: Path) -> None:
    wrong = """
    message A { option (acme.options.v1.event) = {topic: "t" key: "id" organization: "o"}; string id = 1; string o = 2; }
    message B { option (acme.options.v1.event) = {topic: "t" key: "id"}; string id = 1; }
    message C { option (acme.options.v1.event) = {topic: "u" key: "id"}; string id = 1; }
    """
    [told] = faults(wrong, tmp_path)
    assert told == "B: wrong.v1.A says which organisation id belongs to, and wrong.v1.B does not"


RANGE = """
message R {{
  {kind} first = 1 [(acme.options.v1.header) = "Range"];
}}
message B {{
  bytes data = 1;
  int64 length = 2 [(acme.options.v1.header) = "Content-Length"];
}}
service S {{
  rpc Get(R) returns ({reply}) {{
    option (google.api.http) = {{get: "/v1/bytes"}};
    option (acme.options.v1.public) = true;
  }}
}}
"""


@pytest.mark.parametrize(
    ("kind", "reply", "fault"),
    [
        ("string", "stream B", "says from which byte on, or how many before the end: a signed integer"),
        ("uint64", "stream B", "says from which byte on, or how many before the end: a signed integer"),
        ("int64", "B", "takes a range, and there is no stream of bytes with a Content-Length to take it of"),
        ("int64", "stream B", "takes a range, and there is no stream of bytes with a Content-Length to take it of"),
    ],
)
def test_a_range_is_of_bytes_that_are_streamed(kind: str, reply: str, fault: str, tmp_path: Path) -> None:
    assert f"S.Get: 'first' {fault}" in " ".join(faults(RANGE.format(kind=kind, reply=reply), tmp_path))
