"""The README's chapter for authors works as it stands, in an empty folder and a venv with nothing but the built wheel.

Slow, and slow on purpose: about half a minute. The venv holds what the wheel says it needs and nothing else. It is not
downloaded again: `make` has installed the same distributions, and their files are linked into it.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.house.tree import ROOT, text
from tests.system.running import Platform

pytestmark = [
    pytest.mark.drill,
    pytest.mark.skipif(shutil.which("curl") is None, reason="the README's lines need curl"),
]

LIMIT = 180.0
"""Seconds that one step may take on a busy machine."""


@dataclass
class Author:
    """Somebody who follows the README in an empty folder."""

    folder: Path
    seconds: dict[str, float] = field(default_factory=dict)
    """How long each step took."""
    said: dict[str, str] = field(default_factory=dict)
    """What each step printed."""

    @property
    def environ(self) -> dict[str, str]:
        """Without anything of this run's own; pip builds with what the venv has, and asks no index."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("ACME_", "PYTHON", "VIRTUAL_ENV", "PYTEST_"))}
        return kept | {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "COLUMNS": "200", "NO_COLOR": "1"}

    def run(self, step: str, *command: str, cwd: Path | None = None, environ: Mapping[str, str] | None = None) -> str:
        """Runs a command that has to succeed."""
        started = time.monotonic()
        done = subprocess.run(
            command,
            cwd=cwd or self.folder,
            env=self.environ | dict(environ or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT,
        )
        self.seconds[step] = time.monotonic() - started
        self.said[step] = done.stdout
        assert done.returncode == 0, f"{step} ended with {done.returncode}:\n{done.stdout}"
        return done.stdout

    def paste(self, step: str, lines: str, **environ: str) -> None:
        """Pastes a block of the README into a terminal."""
        self.run(step, "bash", "-eu", "-o", "pipefail", "-c", lines, environ=environ)


def blocks(kind: str) -> list[str]:
    """The code blocks of the chapter, of one kind."""
    chapter = text("README.md").split("\n## Writing a plugin\n")[1].split("\n## ")[0]
    return re.findall(rf"^```{kind}\n(.*?)^```", chapter, re.M | re.S)


@pytest.fixture(scope="module")
def author(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Author]:
    """An author who has done it all."""
    somebody = Author(tmp_path_factory.mktemp("author"))
    make, check, call, change = blocks("bash")
    (diff,) = blocks("diff")
    install(somebody, tmp_path_factory.mktemp("wheel"))
    somebody.paste("make", make)
    somebody.paste("check", check)
    platform = Platform(somebody.folder, data=".acme", program=(str(somebody.folder / ".venv/bin/acme"),))
    try:
        platform.start()
        somebody.paste("call", call, API=platform.api)
        somebody.said["events"] = events(somebody)
        assert platform.stop() == 0
    finally:
        platform.close()
    (somebody.folder / "amount.diff").write_text(diff)
    somebody.run("edit", "git", "apply", "../amount.diff", cwd=somebody.folder / "invoices")
    somebody.paste("change", change)
    yield somebody
    print("seconds:", {step: round(seconds, 1) for step, seconds in somebody.seconds.items()})


def install(author: Author, wheels: Path) -> None:
    """A venv with the built wheel, and what it needs."""
    author.run("build", sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels), cwd=ROOT)
    author.run("venv", sys.executable, "-m", "venv", "--without-pip", ".venv")
    for name in needed("acme-platform[plugin]", "hatchling", "mypy", "pip") - {"acme-platform"}:
        link(importlib.metadata.distribution(name), author.folder / ".venv")
    (wheel,) = wheels.glob("*.whl")
    author.run("wheel", ".venv/bin/pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", str(wheel))
    assert author.run("where", ".venv/bin/python", "-c", "import acme; print(acme.__file__)").startswith(
        str(author.folder)
    )


def needed(*wanted: str) -> set[str]:
    """The distributions that these ask for, and all they need: the tools of our own house are not the author's."""
    waiting, found = [Requirement(each) for each in wanted], set[str]()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        extras = requirement.extras or {""}
        if name in found or (requirement.marker and not requirement.marker.evaluate()):
            continue
        found.add(name)
        for line in importlib.metadata.requires(name) or ():
            needs = Requirement(line)
            if needs.marker is None or any(needs.marker.evaluate({"extra": extra}) for extra in extras):
                needs.marker = None
                waiting.append(needs)
    return found


def link(distribution: importlib.metadata.Distribution, venv: Path) -> None:
    """Installs what is installed here into another venv; its scripts run that one's Python."""
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(venv)}))
    for file in distribution.files or ():
        source, target = Path(file.locate()), site / file
        if not source.exists():  # compiled for another optimisation, or never
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.parent.name == "bin" and (script := source.read_bytes()).startswith(b"#!"):
            target.write_bytes(b"#!%b\n%b" % (os.fsencode(venv / "bin/python"), script.partition(b"\n")[2]))
            target.chmod(0o755)
            continue
        try:
            os.link(source, target)
        except OSError:  # the folder of tests is on another file system
            shutil.copy2(source, target)


def events(author: Author) -> str:
    """The plugin's events as an operator sees them on the bus; its outbox empties on its own within a second."""
    deadline = time.monotonic() + LIMIT
    while not (said := author.run("tail", ".venv/bin/acme", "events", "tail", "invoices.events", "--json")):
        assert time.monotonic() < deadline, "no event came"
    return said


def test_it_is_made_installed_and_listed(author: Author) -> None:
    assert "Wrote invoices." in author.said["make"]
    assert re.search(r"^invoices +0\.1\.0 +invoices +>=1\.0,<2 +ok +invoices\.v1\.Invoices$", author.said["make"], re.M)


def test_its_tests_pass_in_every_placement_with_every_fault(author: Author) -> None:
    said = author.said["check"]
    rows = {row[0]: row[1:] for row in re.findall(r"^(\w+)" + r"  +(\d+) pass" * 4 + r"$", said, re.M)}
    assert {"local", "loopback", "grpc", "process"} <= rows.keys(), said
    assert {count for row in rows.values() for count in row} == {"12"}
    assert re.search(r"^Placement +clean +duplicated +slow +crash$", said, re.M)


def test_the_check_finds_nothing_before_and_after_the_change(author: Author) -> None:
    assert "invoices: nothing found" in author.said["check"]
    assert "invoices: nothing found" in author.said["change"]


def test_it_is_called_over_rest(author: Author) -> None:
    *_, made, listed = [json.loads(line) for line in re.findall(r"\{[^\n]*?\}(?=\{|\n|$)", author.said["call"])]
    assert made["name"] == "March"
    assert made["id"].startswith("invoice_")
    assert listed["invoices"] == [made]


def test_its_event_is_on_the_bus(author: Author) -> None:
    (event,) = [json.loads(line) for line in author.said["events"].splitlines()]
    assert event["topic"] == "invoices.events"
    assert event["type"] == "invoices.v1.InvoiceCreated"


def test_a_change_that_breaks_the_release_is_found_in_the_words_of_the_readme(author: Author) -> None:
    proto = author.folder / "invoices/protos/invoices/v1/invoices.proto"
    proto.write_text(proto.read_text().replace("max_length: 100", "max_length: 50"))
    author.paste("break", blocks("bash")[-1].split("\n", 2)[0] + "\n" + blocks("bash")[-1].split("\n")[1])
    done = subprocess.run(
        ["../.venv/bin/acme", "plugin", "check", "."],
        cwd=author.folder / "invoices",
        env=author.environ,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode == 1
    (finding,) = done.stdout.splitlines()
    assert f"`{finding}`" in text("README.md")


def test_what_was_made_is_typed_strictly(author: Author) -> None:
    author.run("mypy", "../.venv/bin/python", "-m", "mypy", cwd=author.folder / "invoices")
    author.run("ruff", "../.venv/bin/python", "-m", "ruff", "check", ".", cwd=author.folder / "invoices")
