"""Each change that breaks somebody is named with its file and place, and what is added breaks nobody."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from acme.codegen import descriptors
from acme.contract.changes import breaking
from acme.contract.load import DESCRIPTORS, HOME, Contracts, check

CONTRACT = """
syntax = "proto3";
package w.v1;
import "acme/options/v1/options.proto";
import "google/api/annotations.proto";
enum Sky { SKY_UNSPECIFIED = 0; SKY_CLEAR = 1; SKY_GREY = 2; }
message Ask {
  string id = 1 [(acme.options.v1.rules) = {max_length: 9}];
  optional int64 version = 2 [(acme.options.v1.header) = "If-Match"];
  Sky sky = 3;
  map<string, string> labels = 4 [(acme.options.v1.rules) = {values: {max_length: 9}}];
  oneof place { string town = 5; string river = 6; }
  repeated string tags = 7;
  Inner inner = 8;
}
message Inner { int32 depth = 1; }
message Box { Inner inner = 1; }
message Answer { string text = 1; int32 wind = 2; }
message Blown {
  option (acme.options.v1.event) = {topic: "w" key: "id"};
  string id = 1;
}
service Weather {
  rpc Get(Ask) returns (Answer) {
    option (google.api.http) = {post: "/v1/w/{id}" body: "*"};
    option (acme.options.v1.permission) = "w.read";
    option (acme.options.v1.idempotent) = true;
    option (acme.options.v1.work) = WORK_MANUAL;
  }
  rpc Set(Box) returns (Answer) {
    option (google.api.http) = {put: "/v1/w" body: "*"};
    option (acme.options.v1.public) = true;
  }
  rpc Poll(Ask) returns (Answer) { option (acme.options.v1.internal) = {callers: ["a", "b"]}; }
}
"""


def contracts(text: str, folder: Path) -> Contracts:
    folder.mkdir(exist_ok=True)
    (folder / "w.proto").write_text(text)
    return check({HOME: (files(HOME) / DESCRIPTORS).read_bytes(), "w": descriptors(folder, "w_contracts")})


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Contracts:
    return contracts(CONTRACT, tmp_path_factory.mktemp("released"))


def changes(released: Contracts, folder: Path, old: str, new: str) -> list[str]:
    assert old in CONTRACT
    found = breaking(released, contracts(CONTRACT.replace(old, new, 1), folder), {"w.proto"})
    assert all(line.startswith("w.proto: ") for line in found)
    return [line.removeprefix("w.proto: ") for line in found]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("int32 wind = 2;", "", "Answer.wind: the field is gone"),
        ("int32 wind = 2;", "int32 gale = 2;", "Answer.wind: the field is gone; number 2 is gale now"),
        ("int32 wind = 2;", "int32 wind = 3;", "Answer.wind: number was 2, is 3"),
        ("int32 wind = 2;", "int64 wind = 2;", "Answer.wind: type was int32, is int64"),
        ("int32 wind = 2;", "repeated int32 wind = 2;", "Answer.wind: type was int32, is repeated int32"),
        ("int32 wind = 2;", "optional int32 wind = 2;", "Answer.wind: presence was not tracked, is tracked"),
        ("Sky sky = 3;", "string sky = 3;", "Ask.sky: type was w.v1.Sky, is string"),
        (
            "map<string, string>",
            "map<int32, string>",
            "Ask.labels: type was map<string, string>, is map<int32, string>",
        ),
        ("string river = 6; }", "} string river = 6;", "Ask.river: presence was one of place, is not tracked"),
        ('[(acme.options.v1.header) = "If-Match"]', "", "Ask.version: header was If-Match, is none"),
        ("SKY_GREY = 2;", "", "Sky.SKY_GREY: the value is gone"),
        ("SKY_GREY = 2;", "SKY_GREY = 3;", "Sky.SKY_GREY: number was 2, is 3"),
        ("{max_length: 9}];\n  optional", "{max_length: 8}];\n  optional", "Ask.id: max_length was 9, is 8"),
        ("{max_length: 9}];\n  optional", "{min_length: 2}];\n  optional", "Ask.id: min_length was none, is 2"),
        ("{max_length: 9}];\n  optional", "{required: true}];\n  optional", "Ask.id: is required now"),
        ("{max_length: 9}];\n  optional", "{format: FORMAT_LINE}];\n  optional", "Ask.id: format was none, is line"),
        ("{max_length: 9}];\n  optional", '{pattern: "x"}];\n  optional', "Ask.id: pattern was none, is x"),
        ("values: {max_length: 9}", "values: {max_length: 1}", "Ask.labels: values: max_length was 9, is 1"),
        (
            "int32 depth = 1;",
            "int32 depth = 1 [(acme.options.v1.rules) = {minimum: 1}];",
            "Inner.depth: minimum was none, is 1",
        ),
        (
            "Inner inner = 8;",
            "Inner inner = 8; string new = 9 [(acme.options.v1.rules) = {required: true}];",
            "Ask.new: is new and required",
        ),
        ("rpc Get(Ask)", "rpc Fetch(Ask)", "Weather.Get: the method is gone"),
        ("service Weather", "service Climate", "Weather: the service is gone"),
        (
            "rpc Get(Ask) returns (Answer)",
            "rpc Get(Ask) returns (Inner)",
            "Weather.Get: reply was w.v1.Answer, is w.v1.Inner",
        ),
        (
            "returns (Answer) {\n",
            "returns (stream Answer) {\n",
            "Weather.Get: stream of replies was not there, is there",
        ),
        ("/v1/w/{id}", "/v1/weather/{id}", "Weather.Get: the route POST /v1/w/{id} is gone"),
        (
            'put: "/v1/w" body: "*"',
            'put: "/v1/w" body: "inner"',
            "Weather.Set: the route PUT /v1/w has the body 'inner' instead of '*'",
        ),
        ('"w.read"', '"w.see"', "Weather.Get: access was w.read, is w.see"),
        ('permission) = "w.read";', "public) = true;", "Weather.Get: access was w.read, is public"),
        ("idempotent) = true", "success_status) = 201", "Weather.Get: HTTP status was 200, is 201"),
        ("idempotent) = true", "secret_reply) = true", "Weather.Get: is no longer idempotent"),
        ('["a", "b"]', '["b"]', "Weather.Poll: a may no longer call it"),
        ('topic: "w"', 'topic: "x"', "Blown: was an event of topic 'w' and key 'id', is topic 'x' and key 'id'"),
        (
            'option (acme.options.v1.event) = {topic: "w" key: "id"};',
            "",
            "Blown: was an event of topic 'w' and key 'id', is no event",
        ),
    ],
)
def test_a_breaking_change_is_named(released: Contracts, tmp_path: Path, old: str, new: str, told: str) -> None:
    assert told in changes(released, tmp_path, old, new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("int32 wind = 2;", "int32 wind = 2; int32 gust = 3;"),
        ("int32 wind = 2;", "int32 wind = 2 [(acme.options.v1.rules) = {maximum: 9}];"),
        ("SKY_GREY = 2;", "SKY_GREY = 2; SKY_BLUE = 3;"),
        ("{max_length: 9}];\n  optional", "{max_length: 10}];\n  optional"),
        ("{max_length: 9}];\n  optional", "{}];\n  optional"),
        (
            "service Weather {",
            "service Weather { rpc New(Ask) returns (Ask) { option (acme.options.v1.public) = true; }",
        ),
        ('["a", "b"]', '["a", "b", "c"]'),
        ("message Inner", "// Says more.\nmessage Inner"),
        ('body: "*"}', 'body: "*" additional_bindings {put: "/v1/w/{id}" body: "*"}}'),
        ("service Weather", "message New { string id = 1; }\nservice Weather"),
        ("idempotent) = true;", "idempotent) = true; option (acme.options.v1.timeout) = 5;"),
        ("idempotent) = true;", "idempotent) = true; option (acme.options.v1.cost) = 5;"),
    ],
    ids=[
        "field",
        "rule of a reply",
        "value",
        "wider",
        "no rule",
        "method",
        "caller",
        "comment",
        "route",
        "message",
        "timeout",
        "cost",
    ],
)
def test_what_is_added_or_widened_breaks_nobody(released: Contracts, tmp_path: Path, old: str, new: str) -> None:
    assert changes(released, tmp_path, old, new) == []


def test_a_message_that_is_gone_is_named_once(released: Contracts, tmp_path: Path) -> None:
    without = CONTRACT[: CONTRACT.index("message Blown")] + CONTRACT[CONTRACT.index("service Weather") :]
    found = breaking(released, contracts(without, tmp_path), {"w.proto"})
    assert found == ["w.proto: Blown: the message is gone"]


def test_files_of_others_are_not_looked_at(released: Contracts, tmp_path: Path) -> None:
    assert breaking(released, contracts(CONTRACT.replace("wind = 2", "wind = 5"), tmp_path), set()) == []
