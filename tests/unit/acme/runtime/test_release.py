"""What a plugin has released is noted, and compared with."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from acme_projects import plugin as projects

from acme.plugin import Plugin
from acme.runtime.discovery import discover
from acme.runtime.release import broken, changed, current, last, write
from tests.made import Made


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Made]:
    monkeypatch.setattr(sys, "path", [*sys.path])
    plugin = Made(tmp_path)
    yield plugin
    plugin.forget()


@pytest.fixture
def plugin(made: Made) -> Plugin:
    found = discover(found=[made.point]).entries[made.name].plugin
    assert found is not None
    return found


def test_before_the_first_release_there_is_none(plugin: Plugin) -> None:
    assert last(plugin) is None


def test_what_is_written_is_what_is_read(made: Made, plugin: Plugin) -> None:
    folder = write(plugin)
    assert sorted(path.name for path in folder.iterdir()) == ["release.json", f"{made.name}.contracts.binpb"]
    released = last(plugin)
    assert released is not None
    assert released == current(plugin)
    assert (released.version, list(released.migrations)) == ("0.1.0", [f"0001_{made.name}.sql"])
    assert broken(plugin, released) == []
    assert not changed(plugin, released)


def test_what_is_added_is_a_change_that_breaks_nobody(made: Made, plugin: Plugin) -> None:
    write(plugin)
    released = current(plugin)
    made.edit(made.proto, "string name = 3;", "string name = 3;\n  // More.\n  string note = 5;")
    (made.package / "migrations/0002_note.sql").write_text("SELECT 1;")
    assert broken(plugin, released) == []
    assert changed(plugin, released)


def test_what_is_taken_away_breaks_somebody(made: Made, plugin: Plugin) -> None:
    write(plugin)
    released = current(plugin)
    made.edit(made.proto, "string name = 3;", "string title = 3;")
    (made.package / f"migrations/0001_{made.name}.sql").rename(made.package / "migrations/0001_other.sql")
    one = made.name.removesuffix("es").capitalize()
    assert broken(plugin, released) == [
        f"{made.proto.removeprefix('protos/')}: {one}.name: the field is gone; number 3 is title now",
        f"migrations/0001_{made.name}.sql: was released with 0.1.0 and is gone",
    ]


def test_a_contract_that_is_no_longer_kept_is_named(made: Made, plugin: Plugin) -> None:
    folder = write(plugin)
    (folder / f"{made.name}.contracts.binpb").rename(folder / "elsewhere.contracts.binpb")
    assert broken(plugin, current(plugin)) == ["elsewhere.contracts: the plugin keeps no contract of it any more"]


def test_contracts_of_the_platform_are_not_a_plugins_to_release() -> None:
    assert last(projects) is None
    assert list(current(projects).migrations) == ["0001_projects.sql", "0002_members.sql", "0003_settings.sql"]
