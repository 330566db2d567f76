"""`acme config check` and `acme reload` tell what would change, and what has, in words and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TypeAlias

import pytest

from tests.system.running import Platform, call, platform, wait_for
from tests.unit.acme.cli.command import Command, Ended

Inside: TypeAlias = Callable[..., Ended]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("platform")
    (folder / "acme.toml").write_text("[gateway]\ntimeout = 5.0\n")
    with platform(folder, "--port", "0") as one:
        yield one


@pytest.fixture
def inside(running: Platform, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Inside:
    """`acme` where the platform runs, with its settings and on its data folder."""
    command = Command(running.folder, monkeypatch, capsys).within(running.environ)
    return lambda *words: command(*words, "--data", str(running.data))


def say(one: Platform, text: str) -> None:
    (one.folder / "acme.toml").write_text(text)


def test_a_check_names_what_is_not_as_by_default_whether_or_not_anything_runs(acme: Command) -> None:
    (acme.folder / "acme.toml").write_text("[gateway]\ntimeout = 5.0\n")
    ended = acme("config", "check")
    assert (ended.code, ended.err) == (0, "")
    assert "  gateway.timeout: 10.0 -> 5.0\n" in ended.out
    assert "Nothing of the platform runs on" in ended.out
    told = json.loads(acme("config", "check", "--json").out)
    assert told["defaults"] == [{"setting": "gateway.timeout", "default": "10.0", "is": "5.0"}]
    assert told["processes"] == []


def test_a_check_of_what_is_wrong_fails(acme: Command) -> None:
    (acme.folder / "new.toml").write_text("[gateway]\ntimout = 5.0\n")
    ended = acme("config", "check", "-c", "new.toml")
    assert ended.code == 1
    assert "new.toml: gateway.timout: unknown key. Did you mean timeout" in ended.err


def test_a_reload_where_nothing_runs_says_so(acme: Command) -> None:
    ended = acme("reload")
    assert (ended.code, ended.err.startswith("acme: nothing of the platform runs on ")) == (1, True)


def test_a_check_says_what_a_reload_would_change_and_the_reload_changes_it(running: Platform, inside: Inside) -> None:
    say(running, "[gateway]\ntimeout = 2.0\ndocs = false\nport = 9\n")
    seen = inside("config", "check")
    expected = ["gateway.docs: true -> false", "gateway.timeout: 5.0 -> 2.0"]
    assert all(f"  {line}\n" in seen.out for line in expected), seen
    assert call(running.api, "GET", "/docs").status == 200, "a check changes nothing"
    done = inside("reload")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == ["control: changed", *(f"  {line}" for line in expected)]
    assert call(running.api, "GET", "/docs").status == 404
    assert inside("reload").out == "control: nothing changed\n"


def test_files_that_are_not_in_use_yet_are_checked_against_what_runs(running: Platform, inside: Inside) -> None:
    say(running, "")
    assert inside("reload").code == 0
    (running.folder / "next.toml").write_text("[gateway]\nmax_timeout = 7.0\n[database]\nconnections = 3\n")
    told = json.loads(inside("config", "check", "-c", "next.toml", "--json").out)
    (control,) = told["processes"]
    assert [change["setting"] for change in control["outlook"]["changes"]] == [
        "gateway.max_timeout",
        "database.connections",
    ]
    assert control["outlook"]["changes"][1]["restart"]
    (running.folder / "wrong.toml").write_text('[gateway.routes]\n"no.Such/Method" = {cost = 2}\n')
    ended = inside("config", "check", "-c", "wrong.toml")
    assert ended.code == 1
    assert "  gateway.routes.no.Such/Method: there is no such method with a route\n" in ended.out


def test_a_reload_that_is_refused_changes_nothing_and_names_every_reason(running: Platform, inside: Inside) -> None:
    say(running, '[gateway]\ndocs = false\n[gateway.routes]\n"no.Such/Method" = {cost = 2}\n"x.Y/Z" = {cost = 2}\n')
    ended = inside("reload")
    assert ended.code == 1
    assert ended.err == "acme: the configuration was refused: nothing has changed\n"
    assert ended.out.splitlines() == [
        "control: refused",
        "  gateway.routes.no.Such/Method: there is no such method with a route",
        "  gateway.routes.x.Y/Z: there is no such method with a route",
    ]
    assert call(running.api, "GET", "/docs").status == 200


def test_a_signal_does_the_same_and_the_log_tells(running: Platform) -> None:
    say(running, "[gateway]\ndocs = false\n")
    running.running.send_signal(1)
    wait_for("the page is gone", lambda: call(running.api, "GET", "/docs").status == 404)
    say(running, "[gateway]\ndocs = 7\n")
    running.running.send_signal(1)
    wait_for("it is refused", lambda: "configuration refused" in running.log())
    assert "gateway.docs: Expected bool, got int" in running.log()
    assert call(running.api, "GET", "/docs").status == 404
