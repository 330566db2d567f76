"""The commands for those who write plugins."""

from __future__ import annotations

import json

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
