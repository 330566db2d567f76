"""The data says what the contract says."""

from __future__ import annotations

import dataclasses

import pytest

from acme.contract import Contracts, Field, Kind, Message, load
from acme.contract.model import INTEGERS, KINDS

OURS = load("acme.contracts")


@pytest.fixture
def everything(trial: Contracts) -> dict[str, Field]:
    return {f.name: f for f in trial.messages["trial.v1.Everything"].fields}


def test_data_is_frozen() -> None:
    message = next(iter(OURS.messages.values()))
    with pytest.raises(dataclasses.FrozenInstanceError):
        message.comment = "other"  # type: ignore[misc]  # that is the test


def test_the_mask_makes_a_patch() -> None:
    assert OURS.messages["acme.projects.v1.UpdateProjectRequest"].mask == "update_mask"
    assert OURS.messages["acme.projects.v1.CreateProjectRequest"].mask == ""


def test_oneofs_are_groups_of_fields_and_optional_scalars_are_none(trial: Contracts) -> None:
    oneofs = trial.messages["trial.v1.Everything"].oneofs
    assert [f.name for f in oneofs["choice"]] == [
        "chosen_string",
        "chosen_int64",
        "chosen_message",
        "chosen_colour",
        "chosen_time",
    ]
    assert len(oneofs) == 1


@pytest.mark.parametrize(
    ("name", "repeated", "is_map", "optional"),
    [
        ("int32", False, False, False),
        ("maybe_int32", False, False, True),
        ("chosen_int64", False, False, True),
        ("message", False, False, True),
        ("int32s", True, False, False),
        ("messages", True, False, False),
        ("string_by_int32", False, True, False),
        ("message_by_string", False, True, False),
    ],
)
def test_a_field_is_one_of_list_map_optional_and_plain(
    everything: dict[str, Field], name: str, repeated: bool, is_map: bool, optional: bool
) -> None:
    field = everything[name]
    assert (field.repeated, field.is_map, field.optional) == (repeated, is_map, optional)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("sint32", -(2**31), 2**31 - 1),
        ("fixed32", 0, 2**32 - 1),
        ("sfixed64", -(2**63), 2**63 - 1),
        ("uint64", 0, 2**64 - 1),
    ],
)
def test_integers_have_the_bounds_of_the_wire(everything: dict[str, Field], name: str, low: int, high: int) -> None:
    assert everything[name].bounds == (low, high)


def test_every_integer_type_is_an_integer() -> None:
    assert {kind for number, kind in KINDS.items() if number in INTEGERS} == {Kind.INT}


def test_a_message_shows_without_following_its_fields(trial: Contracts) -> None:
    message: Message = trial.messages["trial.v1.Everything"]
    assert len(repr(message)) < 1000
