"""The commands for those who write plugins."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import pytest

from tests.made import Made
from tests.unit.acme.cli.command import Command


def test_new_says_what_to_do_next(acme: Command) -> None:
    ended = acme("plugin", "new", "invoices")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == "Wrote invoices. Next: pip install --editable invoices, then acme plugin test invoices\n"


def test_new_puts_it_where_it_is_told(acme: Command) -> None:
    assert acme("plugin", "new", "billing", "--resource", "invoice", "--into", "my plugins").code == 0
    assert (acme.folder / "my plugins/billing/protos/billing/v1/billing.proto").is_file()


def test_a_wrong_name_is_told_in_one_line(acme: Command) -> None:
    ended = acme("plugin", "new", "users")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "acme: 'users' cannot be used: a plugin of that name is installed\n"


def test_list_shows_what_is_installed(acme: Command) -> None:
    ended = acme("plugin", "list")
    assert ended.code == 0
    assert "acme.projects.v1.Projects" in ended.out


def test_list_answers_programs_in_json(acme: Command) -> None:
    found = json.loads(acme("plugin", "list", "--json").out)
    assert {"projects", "users"} <= {line["name"] for line in found}
    assert found[0].keys() == {"name", "version", "package", "contracts", "api", "state", "reason"}


def test_list_takes_settings_from_overlays(acme: Command) -> None:
    (acme.folder / "over.toml").write_text('[platform]\ndisabled = ["projects"]\n')
    found = json.loads(acme("plugin", "list", "--json", "-c", "over.toml").out)
    assert [line["state"] for line in found if line["name"] == "projects"] == ["disabled"]


@pytest.fixture
def made(acme: Command, monkeypatch: pytest.MonkeyPatch) -> Iterator[Made]:
    monkeypatch.setattr(sys, "path", [*sys.path])
    plugin = Made(acme.folder)
    yield plugin
    plugin.forget()


def test_check_says_that_nothing_was_found(acme: Command, made: Made) -> None:
    ended = acme("plugin", "check", made.name)
    assert (ended.code, ended.out, ended.err) == (0, f"{made.name}: nothing found\n", "")


@pytest.mark.drill
def test_check_ends_with_1_and_a_line_for_each_finding(acme: Command, made: Made) -> None:
    made.edit(f"{made.name}/settings.py", '    """Entries on a page when a request does not say."""\n', "")
    ended = acme("plugin", "check", made.name)
    assert ended.code == 1
    assert ended.out == f"{made.name}.settings.Settings: the setting page_size has no docstring below it\n"


@pytest.mark.drill
def test_a_release_that_breaks_the_last_one_has_to_be_accepted(acme: Command, made: Made) -> None:
    assert "commit it with version 0.1.0" in acme("plugin", "release", made.name).out
    made.edit(made.proto, "max_length: 100", "max_length: 50")
    refused = acme("plugin", "release", made.name)
    assert (refused.code, refused.out) == (1, "")
    assert "--accept" in refused.err
    assert "max_length was 100, is 50" in refused.err
    assert acme("plugin", "check", made.name).code == 1
    assert acme("plugin", "release", made.name, "--accept").code == 0
    assert acme("plugin", "check", made.name).code == 0


def test_one_version_is_released_once(acme: Command, made: Made) -> None:
    acme("plugin", "release", made.name)
    assert acme("plugin", "release", made.name).code == 0  # nothing changed
    made.edit(made.proto, "// What people call it.", "// Its name.")
    refused = acme("plugin", "release", made.name)
    assert (refused.code, refused.err) == (1, "acme: 0.1.0 was released already, and was another: raise the version\n")


@pytest.mark.parametrize("command", ["check", "test", "release"])
def test_what_is_no_plugin_is_told(acme: Command, command: str) -> None:
    ended = acme("plugin", command, "nothing")
    assert ended.code == 1
    assert ended.err.startswith("acme: nothing is no installed plugin (audit, projects, users), and ")


@pytest.mark.drill
def test_test_runs_what_it_is_told_and_ends_with_the_table(acme: Command, made: Made) -> None:
    options = ("--placement", "local", "--fault", "clean", "--", "-p", "no:cacheprovider", "-k", "announced")
    ended = acme("plugin", "test", made.name, *options)
    assert (ended.code, ended.err) == (0, "")
    assert [line.split() for line in ended.out.splitlines()] == [["Placement", "clean"], ["local", "1", "pass"]]


def test_a_plugin_that_is_not_installed_cannot_be_tested_in_processes(acme: Command, made: Made) -> None:
    ended = acme("plugin", "test", made.name)
    assert (ended.code, ended.out) == (1, "")
    assert f"pip install --editable {made.folder}" in ended.err
