"""Every rule of a contract is kept, and a broken one is pointed at."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from acme.codec.rules import Check, Checks, is_email
from acme.contract import Contracts, Message, load
from acme.errors import Code, Unconditional

OURS = load("acme.contracts")
ID = "try_01h455vb4pex5vsknk084sn02q"


@pytest.fixture(scope="module")
def ruled(trial: Contracts) -> Message:
    return trial.messages["trial.v1.Ruled"]


@pytest.fixture(scope="module")
def check(trial: Contracts, ruled: Message) -> Check:
    made = Checks(trial).check(ruled)
    assert made is not None
    return made


def right(ruled: Message, **changed: Any) -> Any:
    """A message that breaks no rule, but for what is changed."""
    colour = type(ruled.cls().colour)
    fine = {
        "required": "x",
        "length": "abc",
        "items": ["a"],
        "time": datetime(2026, 1, 1, tzinfo=UTC),
        "colour": colour(1),
        "maybe_number": 0,
    }
    return ruled.cls(**{**fine, **changed})


def found(check: Check, message: Any) -> list[tuple[str, str]]:
    return [(fault.pointer, fault.code) for fault in check(message)]


def test_a_message_that_keeps_the_rules_has_no_faults(check: Check, ruled: Message) -> None:
    assert check(right(ruled)) == ()


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("required", "", [("/required", "required")]),
        ("length", "", [("/length", "min_length")]),
        ("length", "a", [("/length", "min_length")]),
        ("length", "😀😀😀😀", []),
        ("length", "12345", [("/length", "max_length")]),
        ("octets", "ééé", [("/octets", "max_bytes")]),
        ("octets", "éé", []),
        ("bytes", b"123", [("/bytes", "max_bytes")]),
        ("pattern", "abc", []),
        ("pattern", "", []),
        ("pattern", "abcd", [("/pattern", "pattern")]),
        ("pattern", "abc\n", [("/pattern", "pattern")]),
        ("email", "ann@example.com", []),
        ("email", "ann@", [("/email", "email")]),
        ("line", "é 😀", []),
        ("line", "a\tb", [("/line", "format")]),
        ("line", "a\u2028b", [("/line", "format")]),
        ("line", "a\x85b", [("/line", "format")]),
        ("text", "a\tb\r\nc", []),
        ("text", "a\x0bb", [("/text", "format")]),
        ("text", "a\x7fb", [("/text", "format")]),
        ("number", -1, []),
        ("number", -2, [("/number", "range")]),
        ("number", 6, [("/number", "range")]),
        ("share", 1.5, [("/share", "range")]),
        ("items", [], [("/items", "min_items")]),
        ("items", ["a", "", "b"], [("/items", "max_items"), ("/items/1", "min_length")]),
        ("map", {"a": 1, "b": 2}, []),
        ("map", {"A/~": 0}, [("/map/A~1~0", "pattern"), ("/map/A~1~0", "range")]),
        ("map", {"a": 1, "b": 1, "c": 1}, [("/map", "max_items")]),
        ("id", ID, []),
        ("id", "", []),
        ("id", "prj" + ID[3:], [("/id", "id")]),
        ("id", "try_x", [("/id", "id")]),
        ("maybe", None, []),
        ("maybe", "", [("/maybe", "min_length")]),
        ("maybe", "A", [("/maybe", "pattern")]),
        ("time", None, [("/time", "required")]),
        ("wrapped", None, []),
        ("wrapped", "1234", [("/wrapped", "max_length")]),
        ("colour", 0, [("/colour", "required")]),
        ("maybe_number", None, [("/maybe_number", "required")]),
    ],
)
def test_each_rule_has_its_fault(
    check: Check, ruled: Message, field: str, value: Any, expected: list[tuple[str, str]]
) -> None:
    assert found(check, right(ruled, **{field: value})) == expected


def test_rules_hold_inside_of_messages_lists_and_maps(check: Check, ruled: Message) -> None:
    wrong = right(ruled, required="")
    message = right(ruled, inner=wrong, inners=[right(ruled), wrong], inner_by_name={"a/b": right(ruled, inner=wrong)})
    assert found(check, message) == [
        ("/inner/required", "required"),
        ("/inners/1/required", "required"),
        ("/inner_by_name/a~1b/inner/required", "required"),
    ]


def test_messages_say_what_is_allowed_and_never_what_was_sent(check: Check, ruled: Message) -> None:
    faults = check(right(ruled, length="hunter2", pattern="hunter2", email="hunter2", id="hunter2", line="hunter2\n"))
    assert len(faults) == 5
    assert "hunter2" not in repr(faults)
    assert faults[0].message == "must have at most 4 characters"


class TestPatch:
    @pytest.fixture
    def patched(self, trial: Contracts) -> Message:
        return trial.messages["trial.v1.Patched"]

    def faults(
        self, trial: Contracts, patched: Message, paths: list[str] | None, **given: Any
    ) -> list[tuple[str, str]]:
        check = Checks(trial).check(patched)
        assert check is not None
        mask = None if paths is None else trial.messages["google.protobuf.FieldMask"].cls(paths=paths)
        return found(check, patched.cls(update_mask=mask, **given))

    def test_fields_outside_of_the_mask_have_no_rules(self, trial: Contracts, patched: Message) -> None:
        assert self.faults(trial, patched, ["name"], id=ID) == [("/name", "min_length")]
        assert self.faults(trial, patched, [], id=ID) == []

    def test_without_a_mask_all_have(self, trial: Contracts, patched: Message) -> None:
        assert self.faults(trial, patched, None, id=ID) == [("/name", "min_length"), ("/note", "min_length")]

    def test_what_comes_from_the_path_or_a_header_always_has(self, trial: Contracts, patched: Message) -> None:
        assert self.faults(trial, patched, [], id="", version=0) == [("/id", "required"), ("/version", "range")]


def test_a_message_that_has_to_name_a_version_and_does_not_is_no_fault_but_a_refusal_of_its_own() -> None:
    message = OURS.messages["acme.projects.v1.UpdateProjectSettingsRequest"]
    check = Checks(OURS).check(message)
    assert check is not None
    with pytest.raises(Unconditional, match="If-Match") as caught:
        check(message.cls())
    assert (caught.value.code, caught.value.reason) == (Code.UNCONDITIONAL, "precondition_required")
    assert [fault.pointer for fault in check(message.cls(if_match=0))] == ["/project_id", "/patch"]


def test_a_message_without_rules_has_no_check() -> None:
    assert Checks(OURS).check(OURS.messages["acme.projects.v1.Project"]) is None


def test_every_rule_of_ours_compiles() -> None:
    checks = Checks(OURS)
    ruled = [m for m in OURS.messages.values() if (check := checks.check(m)) is not None and refuses(check, m)]
    assert {"acme.users.v1.CreateUserRequest", "acme.projects.v1.UpdateProjectSettingsRequest"} <= {
        m.name for m in ruled
    }


def refuses(check: Check, message: Message) -> bool:
    """Whether it has anything against an empty message."""
    try:
        return bool(check(message.cls()))
    except Unconditional:
        return True


@pytest.mark.parametrize(
    "address", ["a@example.com", "a+b@müller.de", "ä@example.com", "a@sub.example.org", "a@acme.test"]
)
def test_addresses_are_taken_for_what_they_are(address: str) -> None:
    assert is_email(address)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "a",
        "a@",
        "@b.de",
        "a@b",
        "a@localhost",
        "Ann <a@example.com>",
        "a@[127.0.0.1]",
        "a b@example.com",
        "a@example.com\n",
        "a@exa\x00mple.com",
        "\ud800@example.com",
        "a" * 64 + "@" + "b" * 63 + ".com" + "m" * 200,
    ],
)
def test_anything_else_is_no_address(address: str) -> None:
    assert not is_email(address)
