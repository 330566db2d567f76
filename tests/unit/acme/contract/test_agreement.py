"""Contracts that are not the same agree exactly when nobody loses anything by it."""

from __future__ import annotations

from pathlib import Path

import pytest

import acme.contracts
from acme.codegen import descriptors
from acme.contract import Contracts, load
from acme.contract.agreement import differences, whole
from acme.contract.load import DESCRIPTORS, HOME, check
from tests.trial import PROTOS
from tests.versions import version, with_another_type, with_more, without_the_last

FILE = "trial/v1/trial.proto"
SERVICE = "trial.v1.Trials"


@pytest.fixture(scope="module")
def ours(trial: Contracts) -> bytes:
    return whole(trial.services[SERVICE])


def changed(folder: Path, *changes: tuple[str, str]) -> bytes:
    """The trial contract with pieces of text replaced."""
    source = (PROTOS / FILE).read_text()
    for old, new in changes:
        assert old in source
        source = source.replace(old, new, 1)
    (folder / FILE).parent.mkdir(parents=True)
    (folder / FILE).write_text(source)
    home = (Path(acme.contracts.__path__[0]) / DESCRIPTORS).read_bytes()
    made = check({HOME: home, "changed": descriptors(folder, "changed")})
    return whole(made.services[SERVICE])


ADDED = {
    "a field of a request": ("string secret = 22", "string more = 23;\n  string secret = 22"),
    "an optional field": ("string name = 2 [", "optional string more = 9;\n  string name = 2 ["),
    "a value": ("COLOUR_BLUE = 5;", "COLOUR_BLUE = 5;\n  COLOUR_GREEN = 6;"),
    "a method": (
        "  rpc Watch(Query)",
        "  // More.\n  rpc More(Query) returns (Ruled) { option (acme.options.v1.public) = true; }\n\n  rpc Watch(Query)",
    ),
    "a looser rule": ("max_length: 4", "max_length: 5"),
}
TAKEN = {
    "a field that is gone": ("  string note = 3 [(acme.options.v1.rules) = {min_length: 1}];\n", ""),
    "another number": ("string note = 3", "string note = 33"),
    "another type": ("int32 number = 8", "int64 number = 8"),
    "another access": ('option (acme.options.v1.permission) = "trials.try";', "option (acme.options.v1.public) = true;"),
    "a new field that is required": (
        "message Patched {\n", "message Patched {\n  string must = 9 [(acme.options.v1.rules) = {required: true}];\n",
    ),
}  # fmt: skip


def test_a_contract_agrees_with_itself(ours: bytes) -> None:
    assert differences(ours, ours, SERVICE) == []


@pytest.mark.parametrize("change", ADDED.values(), ids=ADDED)
def test_a_worker_that_is_ahead_by_additions_agrees(ours: bytes, tmp_path: Path, change: tuple[str, str]) -> None:
    assert differences(ours, changed(tmp_path, change), SERVICE) == []


@pytest.mark.parametrize("change", TAKEN.values(), ids=TAKEN)
def test_a_worker_that_has_taken_or_changed_something_does_not(
    ours: bytes, tmp_path: Path, change: tuple[str, str]
) -> None:
    assert differences(ours, changed(tmp_path, change), SERVICE) != []


@pytest.mark.parametrize("name", ["a value", "a method", "a looser rule"])
def test_a_worker_that_is_behind_by_what_it_refuses_by_itself_agrees(ours: bytes, tmp_path: Path, name: str) -> None:
    assert differences(changed(tmp_path, ADDED[name]), ours, SERVICE) == []


@pytest.mark.parametrize("name", ["a field of a request", "an optional field"])
def test_a_worker_that_would_drop_a_field_does_not(ours: bytes, tmp_path: Path, name: str) -> None:
    (told,) = differences(changed(tmp_path, ADDED[name]), ours, SERVICE)
    assert told.endswith((".more: the field is gone", ".more: is not known to the callee"))


def test_a_worker_may_reply_with_more_than_we_know_and_never_with_less() -> None:
    service = load(HOME).services["acme.authority.v1.Authority"]
    now = whole(service)
    more, less = version(service, "ChangesReply", with_more), version(service, "ChangesReply", without_the_last)
    assert differences(now, more, service.name) == []
    assert differences(more, now, service.name) != []
    assert differences(now, less, service.name) != []
    assert differences(now, version(service, "ChangesReply", with_another_type), service.name) != []


@pytest.mark.parametrize("theirs", [b"\xff", b""], ids=["garbage", "nothing"])
def test_what_cannot_be_read_or_is_another_contract_does_not_agree(ours: bytes, theirs: bytes) -> None:
    assert len(differences(ours, theirs, SERVICE)) == 1
