"""What `acme plugin check` finds."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated

import msgspec
import pytest

from acme.plugin import NoSettings
from acme.runtime.discovery import discover
from acme.runtime.release import write
from acme.runtime.review import review, undocumented
from tests.made import Made


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Made]:
    monkeypatch.setattr(sys, "path", [*sys.path])
    plugin = Made(tmp_path)
    yield plugin
    plugin.forget()


def release(made: Made) -> None:
    plugin = discover(found=[made.point]).entries[made.name].plugin
    assert plugin is not None
    write(plugin)
    made.forget()


async def test_what_the_scaffold_writes_has_no_findings(made: Made) -> None:
    assert await review(made.point) == []


@pytest.mark.parametrize("name", ["projects", "users"])
@pytest.mark.drill
async def test_our_own_plugins_have_no_findings(name: str) -> None:
    (point,) = entry_points(group="acme.plugins", name=name)
    assert await review(point) == []


async def test_a_plugin_that_cannot_be_imported_is_one_finding(made: Made) -> None:
    made.edit(f"{made.name}/__init__.py", "from acme import Plugin", "from acme import Plugins")
    (finding,) = await review(made.point)
    assert finding.startswith("import: ImportError")


@pytest.mark.drill
async def test_a_range_without_an_end_and_one_without_this_version_are_told(made: Made) -> None:
    made.edit(f"{made.name}/__init__.py", ">=1.0,<2", ">=1.0")
    assert await review(made.point) == [
        "api: '>=1.0' claims plugin API 2.0, which nobody knows yet: give it an upper bound"
    ]
    made.forget()
    made.edit(f"{made.name}/__init__.py", '">=1.0"', '">=2"')
    assert await review(made.point) == ["import: it is made for plugin API >=2; this platform has 1.0"]


@pytest.mark.drill
async def test_every_bare_method_field_and_setting_is_named(made: Made) -> None:
    one = made.name.removesuffix("es").capitalize()
    made.edit(made.proto, f"  // One {one.lower()}.\n", "")
    made.edit(made.proto, "  // The user who owns it.\n  string owner_id", "  string keeper")
    made.edit(f"{made.name}/settings.py", '    """Entries on a page when a request does not say."""\n', "")
    made.edit(f"{made.name}/service.py", "owner_id=authorise", "keeper=authorise")
    file = made.proto.removeprefix("protos/")
    assert await review(made.point) == [
        f"{file}: {made.name}.v1.{made.name.capitalize()}.Get{one}: the method has no comment",
        f"{file}: {made.name}.v1.{one}.keeper: the field has no comment",
        f"{made.name}.settings.Settings: the setting page_size has no docstring below it",
    ]


async def test_what_breaks_the_last_release_is_named(made: Made) -> None:
    release(made)
    one = made.name.removesuffix("es").capitalize()
    made.edit(made.proto, "max_length: 100", "max_length: 50")
    made.edit(f"{made.name}/migrations/0001_{made.name}.sql", "name text NOT NULL", "name text")
    file = made.proto.removeprefix("protos/")
    assert await review(made.point) == [
        f"{file}: Create{one}Request.name: max_length was 100, is 50",
        f"migrations/0001_{made.name}.sql: changed after it was released with 0.1.0: add a new one instead",
    ]


@pytest.mark.drill
async def test_a_migration_that_fails_on_the_copy_is_named_with_its_file(made: Made) -> None:
    release(made)
    (made.package / "migrations/0002_wrong.sql").write_text("ALTER TABLE nothing ADD COLUMN x int;")
    (finding,) = await review(made.point)
    assert f"{made.name}/migrations/0002_wrong.sql" in finding
    assert 'relation "nothing" does not exist' in finding


@pytest.mark.drill
async def test_migrations_out_of_order_are_told(made: Made) -> None:
    (made.package / "migrations/0003_late.sql").write_text("SELECT 1;")
    (finding,) = await review(made.point)
    assert "there is no 0002" in finding


@pytest.mark.drill
async def test_a_method_that_nobody_may_call_is_a_finding_with_its_file(made: Made) -> None:
    descriptors = made.package / "contracts" / "descriptors.binpb"
    permission = f"{made.name}.create".encode()
    content = descriptors.read_bytes()
    # The generator refuses such a contract, so it is made by hand: the option's field number becomes one nobody knows.
    at = content.index(permission) - 4
    descriptors.write_bytes(content[:at] + bytes([content[at] ^ 0x40]) + content[at + 1 :])
    findings = await review(made.point)
    assert any("needs one of the options permission, public and internal" in finding for finding in findings), findings


class Base(msgspec.Struct):
    one: int = 1
    """Explained."""
    two: int = 2


class Derived(Base):
    three: Annotated[int, msgspec.Meta(ge=1)] = 3


def test_settings_are_looked_at_through_all_their_types() -> None:
    assert sorted(undocumented(Derived)) == ["three", "two"]
    assert undocumented(NoSettings) == []
