"""Plugins are found by entry point; one that cannot be used is named, and the others stay up."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from acme.contract import Contracts
from acme.contracts.users.v1 import UsersBase
from acme.runtime.discovery import Roster, avro_of, contracts_of, discover
from tests.made import Made

GOOD = """
from contextlib import asynccontextmanager
from acme import Plugin

@asynccontextmanager
async def service(resources):
    yield ()

plugin = Plugin(name={name!r}, version="2.0", package=__name__, contracts=(), service=service{more})
"""

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs a distribution of one module with the entry points it is given, where Python finds it."""
    monkeypatch.syspath_prepend(tmp_path)
    modules: list[str] = []

    def install(module: str, source: str, *points: str) -> None:
        modules.append(module)
        (tmp_path / f"{module}.py").write_text(source)
        folder = tmp_path / f"{module}-1.5.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.5\n")
        (folder / "entry_points.txt").write_text("[acme.plugins]\n" + "\n".join(points) + "\n")
        importlib.invalidate_caches()

    yield install
    for module in modules:
        sys.modules.pop(module, None)


def test_an_installed_plugin_is_found(install: Install) -> None:
    install("stranger", GOOD.format(name="stranger", more=""), "stranger = stranger:plugin")
    entry = discover().entries["stranger"]
    assert (entry.version, entry.health, entry.reason) == ("2.0", "starting", "")


def test_a_plugin_that_fails_to_import_is_named_and_the_others_stay(install: Install) -> None:
    install("broken", "import no_such_module_anywhere", "broken = broken:plugin")
    install("stranger", GOOD.format(name="stranger", more=""), "stranger = stranger:plugin")
    roster = discover()
    assert roster.entries["broken"].health == "quarantined"
    assert roster.entries["broken"].version == "1.5"
    assert roster.entries["broken"].reason == "import: ModuleNotFoundError: No module named 'no_such_module_anywhere'"
    assert "stranger" in [entry.name for entry, _ in roster.usable()]


@pytest.mark.parametrize(
    ("source", "point", "reason"),
    [
        ("plugin = 5", "odd = odd:plugin", "import: odd:plugin is of type int; an acme.Plugin is expected"),
        ("", "odd = odd:plugin", "import: AttributeError: module 'odd' has no attribute 'plugin'"),
        ("raise SystemExit(3)", "odd = odd:plugin", "import: SystemExit: 3"),
        ("1/0", "odd = odd:plugin", "import: ZeroDivisionError: division by zero"),
        ("x x", "odd = odd:plugin", "import: SyntaxError: invalid syntax (odd.py, line 1)"),
        (
            GOOD.format(name="even", more=""),
            "odd = odd:plugin",
            "import: the entry point is named odd, the plugin even",
        ),
        (
            GOOD.format(name="odd", more=", api='>=2'"),
            "odd = odd:plugin",
            "import: it is made for plugin API >=2; this platform has 1.0",
        ),
        (
            GOOD.format(name="odd", more=", api='newest'"),
            "odd = odd:plugin",
            "import: api = 'newest' is not a version range, such as '>=1,<2'",
        ),
        (
            GOOD.format(name="Odd-one", more=""),
            "Odd-one = odd:plugin",
            "discovery: 'Odd-one' cannot be a plugin's name: a letter, then up to 30 letters, digits, _",
        ),
        (
            GOOD.format(name="postgres", more=""),
            "postgres = odd:plugin",
            "discovery: 'postgres' cannot be a plugin's name: a letter, then up to 30 letters, digits, _",
        ),
    ],
)
def test_a_declaration_that_cannot_be_used_is_put_aside(install: Install, source: str, point: str, reason: str) -> None:
    install("odd", source, point)
    entry = discover().entries[point.split(" ")[0]]
    assert (entry.health, entry.reason) == ("quarantined", reason)


def test_two_plugins_of_one_name_are_both_put_aside(install: Install) -> None:
    install("one", GOOD.format(name="same", more=""), "same = one:plugin")
    install("two", GOOD.format(name="same", more=""), "same = two:plugin")
    entry = discover().entries["same"]
    assert entry.reason == "discovery: one:plugin and two:plugin both claim the name same"


def test_a_disabled_plugin_is_not_even_imported(install: Install) -> None:
    install("broken", "raise SystemExit", "broken = broken:plugin")
    assert "broken" not in discover(disabled=["broken"]).entries


def test_an_entry_point_listed_twice_is_one_plugin(install: Install) -> None:
    install("stranger", GOOD.format(name="stranger", more=""))
    point = EntryPoint("stranger", "stranger:plugin", "acme.plugins")
    assert discover(found=[point, point]).entries["stranger"].health == "starting"


def keeping(base: str) -> str:
    """Source of a plugin that keeps the contract `base` names."""
    return f"from acme.contracts.users.v1 import *\n{GOOD}".replace("contracts=()", f"contracts=({base},)")


def loaded(roster: Roster) -> Contracts:
    return contracts_of(roster)


def test_the_contracts_of_all_plugins_are_loaded(install: Install) -> None:
    install("stranger", keeping("UsersBase").format(name="stranger", more=""))
    roster = discover(found=[EntryPoint("stranger", "stranger:plugin", "acme.plugins")])
    assert loaded(roster).service_of(UsersBase).name == "acme.users.v1.Users"


def test_the_second_plugin_that_keeps_a_contract_is_put_aside(install: Install) -> None:
    install("first", keeping("UsersBase").format(name="first", more=""))
    install("second", keeping("UsersBase").format(name="second", more=""))
    points = [EntryPoint(name, f"{name}:plugin", "acme.plugins") for name in ("first", "second")]
    roster = discover(found=points)
    loaded(roster)
    assert roster.entries["first"].health == "starting"
    assert roster.entries["second"].reason == "contracts: UsersBase is kept by the plugin first already"


def test_a_plugin_without_readable_contracts_is_put_aside(install: Install) -> None:
    install("stranger", keeping("dict").format(name="stranger", more=""))
    roster = discover(found=[EntryPoint("stranger", "stranger:plugin", "acme.plugins")])
    assert "acme.users.v1.Users" in loaded(roster).services
    assert roster.entries["stranger"].reason.startswith("contracts: ")


def test_a_plugin_whose_events_have_no_released_schema_is_put_aside(install: Install, tmp_path: Path) -> None:
    made = Made(tmp_path)
    (made.package / "contracts" / "schemas.lock").unlink()
    roster = discover(found=[made.point])
    assert "acme.users.v1.Users" in loaded(roster).services
    reason = roster.entries[made.name].reason
    assert reason.startswith(f"contracts: ContractError: contract {made.name}.contracts: schemas.lock: ")
    assert reason.endswith("run `python -m acme.codegen`")


def test_a_plugin_with_a_wrong_upcaster_is_put_aside(install: Install) -> None:
    more = ", upcasters=(__import__('acme').Upcaster(UserCreated, 1, dict),)"
    install("stranger", keeping("UsersBase").format(name="stranger", more=more))
    roster = discover(found=[EntryPoint("stranger", "stranger:plugin", "acme.plugins")])
    avro_of(roster, loaded(roster))
    told = "upcasters: ValueError: acme.users.v1.UserCreated has no version after 1, and an upcaster to it"
    assert roster.entries["stranger"].reason == told
