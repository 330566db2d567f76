"""What `acme plugin list` shows."""

from __future__ import annotations

import msgspec

from acme.cli.plugins import Line, as_json, as_text, installed
from acme.runtime.settings import load


def test_our_own_plugins_are_listed_with_what_they_keep() -> None:
    found = {line.name: line for line in installed(load())}
    assert found["projects"].contracts == tuple(
        f"acme.projects.v1.{name}" for name in ("Projects", "ProjectMembers", "ProjectSettings")
    )
    assert (found["projects"].package, found["projects"].state) == ("acme_projects", "ok")
    assert found["projects"].api == ">=1,<2"


def test_a_disabled_plugin_is_listed_as_such() -> None:
    found = installed(load(values={"platform": {"disabled": ["projects"]}}))
    assert [(line.name, line.state) for line in found if line.name == "projects"] == [("projects", "disabled")]


def test_settings_that_do_not_fit_are_the_reason_of_one_plugin() -> None:
    found = {line.name: line for line in installed(load(values={"plugins": {"projects": {"colour": "red"}}}))}
    assert found["projects"].state == "quarantined"
    assert "colour" in found["projects"].reason
    assert found["users"].state == "ok"


def test_people_see_a_row_for_each_contract_and_reasons_below() -> None:
    lines = [
        Line("a", "1", "a", ("a.v1.A", "a.v1.B"), ">=1,<2", "ok"),
        Line("b", "", "", (), "", "quarantined", "import: ImportError: no c"),
    ]
    head, first, second, third, reason = as_text(lines).splitlines()
    assert head.split() == ["Plugin", "Version", "Package", "API", "State", "Contracts"]
    assert first.split() == ["a", "1", "a", ">=1,<2", "ok", "a.v1.A"]
    assert second.split() == ["a.v1.B"]
    assert third.split() == ["b", "quarantined"]
    assert reason == "b: import: ImportError: no c"


def test_programs_get_an_array_of_the_same() -> None:
    line = Line("a", "1", "a", ("a.v1.A",), ">=1,<2", "ok")
    assert msgspec.json.decode(as_json([line]), type=list[Line]) == [line]
