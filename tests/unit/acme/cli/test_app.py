"""The commands: what they answer, and that every failure is one line and an exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from acme.drivers.mailbox import KeptMail
from acme.runtime.datafolder import claim
from tests.unit.acme.cli.command import Command, ending


def put_mail(data: Path, **changes: object) -> None:
    (data / "mailbox").mkdir(parents=True, exist_ok=True)
    at = datetime(2026, 1, 1, 12, tzinfo=UTC)
    mail = KeptMail("dlv_1", at, "ada@example.com", "Welcome", "Hello Ada.\n", ("https://acme.example/x?token=t",))
    mail = msgspec.structs.replace(mail, **changes)
    (data / f"mailbox/{mail.id}.json").write_bytes(msgspec.json.encode(mail))


def test_help_names_every_command(acme: Command) -> None:
    ended = acme("--help")
    assert ended.code == 0
    for name in ("up", "mailbox", "reset", "config", "version"):
        assert f"  {name} " in ended.out


def test_a_wrong_argument_is_told_with_code_2(acme: Command) -> None:
    ended = acme("up", "--port", "eighty")
    assert ended.code == 2
    assert "--port" in ended.err


def test_a_wrong_setting_names_file_key_and_what_is_allowed(acme: Command) -> None:
    (acme.folder / "acme.toml").write_text("[gateway]\nprot = 80\n")
    ended = acme("mailbox")
    assert (ended.code, ended.out) == (1, "")
    first, second = ended.err.splitlines()
    assert first == "acme: the configuration cannot be used"
    assert second.startswith("  acme.toml: gateway.prot: unknown key. Did you mean port")


def test_an_overlay_that_is_not_there_is_told(acme: Command) -> None:
    ended = acme("mailbox", "-c", "nowhere.toml")
    assert (ended.code, ended.err.splitlines()[1]) == (1, "  nowhere.toml: cannot be read: No such file or directory")


def test_the_mailbox_shows_mails_to_people(acme: Command) -> None:
    put_mail(acme.folder / ".acme")
    put_mail(acme.folder / ".acme", id="dlv_2", at=datetime(2026, 1, 2, tzinfo=UTC), subject="Again\x1b[2J")
    ended = acme("mailbox")
    assert ended.code == 0
    assert ended.out.index("Subject: Again") < ended.out.index("Subject: Welcome")
    assert "\x1b" not in ended.out


def test_the_mailbox_is_json_for_programs_newest_first(acme: Command) -> None:
    data = acme.folder / "data"
    put_mail(data)
    put_mail(data, id="dlv_2", at=datetime(2026, 1, 2, tzinfo=UTC), subject="Again")
    mails = json.loads(acme("mailbox", "--json", "--data", str(data)).out)
    assert [mail["subject"] for mail in mails] == ["Again", "Welcome"]
    assert mails[1]["to"] == "ada@example.com"
    assert mails[1]["links"] == ["https://acme.example/x?token=t"]


def test_an_empty_mailbox_says_so(acme: Command) -> None:
    assert acme("mailbox").out == "No mails.\n"
    assert acme("mailbox", "--json").out == "[]\n"


def test_reset_deletes_the_data_folder(acme: Command) -> None:
    with claim(acme.folder / ".acme"):
        pass
    ended = acme("reset", "--yes")
    assert (ended.code, ended.out) == (0, f"Deleted {acme.folder / '.acme'}.\n")
    assert not (acme.folder / ".acme").exists()


def test_reset_asks_first(acme: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    with claim(acme.folder / ".acme"):
        pass
    monkeypatch.setattr("typer.confirm", _abort)
    assert acme("reset").code == 1
    assert (acme.folder / ".acme").exists()


def _abort(text: str, *, abort: bool) -> None:
    import typer

    raise typer.Abort


def test_reset_refuses_while_a_platform_runs(acme: Command) -> None:
    with claim(acme.folder / ".acme"):
        ended = acme("reset", "--yes")
    assert ended.code == 1
    assert f"in use by process {os.getpid()}" in ended.err
    assert len(ended.err.splitlines()) == 1


def test_reset_refuses_what_is_no_data_folder(acme: Command) -> None:
    ended = acme("reset", "--yes", "--data", str(acme.folder))
    assert (ended.code, len(ended.err.splitlines())) == (1, 1)
    assert acme.folder.exists()


def test_version_names_platform_plugin_api_and_python(acme: Command) -> None:
    assert acme("version").out.startswith("acme-platform 0.1.0, plugin API 1.0, Python 3.")


def test_config_checks_the_settings_of_plugins_too(acme: Command) -> None:
    (acme.folder / "acme.toml").write_text("[plugins.users]\nhash_treads = 5\n")
    ended = acme("config")
    assert (ended.code, ended.err) == (1, "acme: not every plugin can be used\n")
    assert "acme.toml: plugins.users.hash_treads: unknown key. Did you mean hash_threads?" in ended.out


def test_config_says_when_all_is_well(acme: Command) -> None:
    ended = acme("config")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.endswith("The configuration is fine.\n")


def test_settings_for_a_plugin_that_is_not_installed_are_refused(
    acme: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACME_PLUGINS__USRES__HASH_THREADS", "5")
    ended = acme("config")
    assert ended.code == 1
    assert "ACME_PLUGINS__USRES" in ended.err
    assert "Did you mean users?" in ended.err


def test_up_on_a_folder_that_cannot_be_made_is_one_line(acme: Command) -> None:
    (acme.folder / "file").touch()
    with ending(60.0):
        ended = acme("up", "--json", "--data", "file/data", "--port", "0")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("acme: ")
    assert "Traceback" not in ended.err


def test_what_nobody_foresaw_is_one_line_and_a_traceback_on_request() -> None:
    code = "import sys; from acme.cli import app; app.read_settings = None; sys.argv = ['acme', 'mailbox']; app.main()"
    for environ, traceback in (({}, False), ({"ACME_TRACEBACK": "1"}, True)):
        ended = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, **environ}, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 1
        assert ("Traceback" in ended.stderr) is traceback
        assert "TypeError" in ended.stderr
