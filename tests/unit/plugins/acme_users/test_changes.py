"""Masks and versions of updates."""

from __future__ import annotations

import pytest
from acme_users.changes import expect, named

from acme import Invalid, Stale
from acme.contracts.google.protobuf import FieldMask


def test_a_mask_names_what_is_set_and_without_one_everything_is() -> None:
    assert named(None, ("name", "role")) == ("name", "role")
    assert list(named(FieldMask(paths=["role"]), ("name", "role"))) == ["role"]
    assert list(named(FieldMask(), ("name", "role"))) == []


def test_every_field_that_nobody_can_set_is_told() -> None:
    with pytest.raises(Invalid) as caught:
        named(FieldMask(paths=["id", "name", "age"]), ("name",))
    assert [fault.message for fault in caught.value.faults] == ["age cannot be changed", "id cannot be changed"]


def test_no_version_and_the_present_one_are_as_expected() -> None:
    expect(None, 3, "team")
    expect(3, 3, "team")
    for version in (2, 4, 0):
        with pytest.raises(Stale, match="team has version 3"):
            expect(version, 3, "team")
