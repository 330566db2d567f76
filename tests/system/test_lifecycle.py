"""Start, drain, stop, kill, restart: what the operator of one machine relies on."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import re
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from tests.system.running import (
    ACME,
    Platform,
    call,
    check_problem,
    connect,
    path_with,
    platform,
    until_waiting,
    wait_for,
)
from tests.unit.acme.cli.command import Command, ending


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Platform]:
    """A platform for one test; started by the test."""
    one = Platform(tmp_path / "platform")
    yield one
    one.close()


def refuses_connections(api: str) -> bool:
    host, _, port = api.removeprefix("http://").partition(":")
    with closing(socket.socket()) as probe:
        return probe.connect_ex((host, int(port))) != 0


@pytest.mark.parametrize(
    "how",
    [pytest.param(signal.SIGINT, id="Ctrl-C", marks=pytest.mark.drill), pytest.param(signal.SIGTERM, id="SIGTERM")],
)
async def test_a_request_under_way_completes_before_the_process_ends(own: Platform, how: signal.Signals) -> None:
    own.start()
    person = own.join("drain@example.com")
    project = own.project(person, "Before")
    path = f"/v1/projects/{project['id']}"
    blocker = await connect(own, "projects")
    with ThreadPoolExecutor() as threads:
        try:
            async with asyncio.timeout(30), blocker.transaction():
                await blocker.execute("SELECT FROM projects WHERE id = $1 FOR UPDATE", project["id"])
                request = threads.submit(own.call, "PATCH", path, {"name": "After"}, token=person.token)
                await until_waiting(blocker, 1)
                own.running.send_signal(how)
                await asyncio.to_thread(wait_for, "the listener's end", lambda: refuses_connections(own.api))
                assert not request.done()
        finally:
            await blocker.close()
        reply = await asyncio.wrap_future(request)
    assert (reply.status, reply.json["name"]) == (200, "After")
    assert own.wait() == 0
    assert own.database_processes() == []
    assert "Traceback" not in own.log()


def test_what_was_committed_is_there_after_the_process_was_killed(own: Platform) -> None:
    own.start()
    person = own.join("kill@example.com")
    made = own.project(person, "Kept")
    own.kill()
    wait_for("the database's end", lambda: not own.database_processes())
    own.start()
    kept = own.call("GET", f"/v1/projects/{made['id']}", token=person.token)
    assert (kept.status, kept.json) == (200, made)
    assert own.stop() == 0
    assert own.database_processes() == []


def test_a_database_that_dies_is_started_again_and_nothing_committed_is_lost(own: Platform) -> None:
    own.start()
    person = own.join("database@example.com")
    made = own.project(person, "Kept")
    path = f"/v1/projects/{made['id']}"
    server = int((own.data / "postgres" / "postmaster.pid").read_text().splitlines()[0])
    os.kill(server, signal.SIGKILL)
    wait_for("the server's end", lambda: server not in own.database_processes())
    answers = [own.call("GET", path, token=person.token).status]

    def serves_again() -> bool:
        answers.append(own.call("GET", path, token=person.token).status)
        return answers[-1] == 200

    wait_for("the database", serves_again, limit=30)
    assert set(answers) <= {200, 503}
    assert own.call("GET", path, token=person.token).json == made
    assert own.project(person, "Afterwards")["name"] == "Afterwards"
    wait_for("readiness", lambda: own.call("GET", "/readyz").status == 200, limit=30)
    assert own.stop() == 0
    assert own.database_processes() == []


@pytest.mark.drill
def test_a_start_right_after_a_kill_waits_for_the_old_database_to_go(own: Platform) -> None:
    own.start()
    person = own.join("again@example.com")
    for number in range(2):
        own.project(person, f"Project {number}")
        own.kill()
        own.start()
    listed = own.call("GET", "/v1/projects", token=person.token).json["projects"]
    assert [project["name"] for project in listed] == ["Project 1", "Project 0"]


def test_an_idle_platform_ends_at_once_and_leaves_nothing_behind(own: Platform) -> None:
    own.start()
    assert own.stop(signal.SIGINT) == 0
    assert own.database_processes() == []
    assert not list((own.data / "postgres").glob("postmaster.pid"))


def test_a_second_start_on_one_folder_says_so_and_leaves_the_first_alone(running: Platform) -> None:
    second = running.run("--port", "0")
    assert second.returncode == 1
    assert str(running.data) in second.stderr
    assert str(running.running.pid) in second.stderr
    assert "Traceback" not in second.stderr
    assert running.call("GET", "/readyz").status == 200


def test_a_busy_port_is_left_alone_and_the_next_one_named(own: Platform) -> None:
    with closing(socket.socket()) as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        busy = holder.getsockname()[1]
        own.start("--port", str(busy))
        assert own.ready["asked_port"] == busy
        assert int(own.api.rpartition(":")[2]) > busy
        assert own.call("GET", "/healthz").status == 200


def test_the_block_for_people_says_what_is_where_and_its_commands_work(tmp_path: Path) -> None:
    own = Platform(tmp_path / "platform")
    own.folder.mkdir()
    shown = own.folder / "shown"
    with closing(socket.socket()) as holder, shown.open("wb") as screen, (own.folder / "log").open("wb") as log:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        busy = holder.getsockname()[1]
        command = [ACME, "up", "--data", str(own.data), "--port", str(busy)]
        process = subprocess.Popen(command, cwd=own.folder, env=own.environ, stdout=screen, stderr=log)
        try:
            wait_for("the block", lambda: "Ctrl-C" in shown.read_text(), limit=60)
            block = shown.read_text()
            assert re.search(rf"Port {busy} is busy: using \d+", block)
            parts = [
                "is ready after",
                "API",
                "OpenAPI",
                "Health",
                "Metrics",
                str(own.data),
                "reset",
                "users",
                "projects",
            ]
            assert [part for part in parts if part not in block] == []
            commands = re.findall(r"^  (curl .*|\S*acme mailbox .*)$", block, re.M)
            answers = [subprocess.check_output(["bash", "-c", one], text=True, env=own.environ) for one in commands]
            assert len(answers) == 3
            assert [
                word for word, answer in zip(("{}", "ada@", "access_token"), answers, strict=True) if word not in answer
            ] == []
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
    assert own.database_processes() == []


def test_two_data_folders_are_two_platforms(running: Platform, tmp_path: Path) -> None:
    here = running.join("side@example.com")
    running.project(here, "Here")
    with platform(tmp_path / "other") as other:
        assert other.api != running.api
        assert other.call("GET", "/v1/projects", token=here.token).status == 401
        there = other.join("side@example.com")
        assert other.call("GET", "/v1/projects", token=there.token).json["projects"] == []
        assert other.stop() == 0
    assert len(running.call("GET", "/v1/projects", token=here.token).json["projects"]) == 1


def test_the_line_on_standard_output_tells_what_a_program_needs(running: Platform) -> None:
    plugins = {plugin["name"]: plugin for plugin in running.ready["plugins"]}
    assert set(plugins) == {"users", "projects", "audit"}
    assert {plugin["health"] for plugin in plugins.values()} == {"up"}
    assert running.ready["data"] == str(running.data)
    assert call(running.ready["api"], "GET", "/readyz").status == 200


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("[gateway]\nprot = 8080\n", ["gateway.prot", "port"]),
        ("[gateway]\nport = 'eighty'\n", ["gateway.port", "int"]),
        ("[gateway]\nport = 70000\n", ["gateway.port", "65535"]),
        ("[gatway]\nport = 8080\n", ["gatway", "gateway"]),
        ("[log]\nlevel = 'loud'\n", ["log.level", "warning"]),
        ("[gateway\nport = 8080\n", ["line 1"]),
    ],
    ids=["unknown key", "wrong type", "out of range", "unknown table", "not a choice", "not TOML"],
)
def test_a_broken_setting_is_named_with_its_file_and_what_is_allowed(
    own: Platform, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], content: str, told: list[str]
) -> None:
    """In this process, as nothing is started."""
    own.folder.mkdir()
    (own.folder / "acme.toml").write_text(content)
    acme = Command(own.folder, monkeypatch, capsys).within(own.environ)
    with ending(60.0):
        ended = acme("up", "--json", "--data", str(own.data))
    assert (ended.code, ended.out) == (1, "")
    assert [word for word in ["acme.toml", *told] if word not in ended.err] == []
    assert "Traceback" not in ended.err


def test_a_broken_setting_of_a_plugin_puts_aside_that_plugin_alone(own: Platform) -> None:
    own.folder.mkdir()
    (own.folder / "acme.toml").write_text("[plugins.projects]\ncolour = 'red'\n")
    plugins = {plugin["name"]: plugin for plugin in own.start().ready["plugins"]}
    assert plugins["projects"]["health"] == "quarantined"
    told = plugins["projects"]["reason"]
    assert [word for word in ("acme.toml", "plugins.projects.colour") if word not in told] == []
    person = own.join("setting@example.com")
    check_problem(own.call("GET", "/v1/projects", token=person.token), 503)
    assert own.call("GET", "/v1/users/me", token=person.token).status == 200


def install(folder: Path, name: str, code: str) -> Path:
    """A plugin as an installed distribution: put `folder` on the path and it is found by its entry point."""
    package = folder / f"acme_{name}"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(textwrap.dedent(code))
    metadata = folder / f"acme_{name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: acme-{name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[acme.plugins]\n{name} = acme_{name}:plugin\n")
    return folder


BROKEN: Final = {
    "raises": ("raise RuntimeError('the weather is bad')", "the weather is bad"),
    "needs": ("import no_such_library", "no_such_library"),
    "none": ("plugin = 'sunny'", "Plugin"),
    "starts": (
        """
        from contextlib import asynccontextmanager
        from acme import Plugin

        @asynccontextmanager
        async def service(resources):
            raise OSError("the station does not answer")
            yield ()

        plugin = Plugin(name="starts", version="1.0", package=__name__, contracts=(), service=service)
        """,
        "the station does not answer",
    ),
}
"""One that raises on import, one that needs what is missing, one that is no plugin, and one that fails to start; with the
reason that is told."""


def test_broken_plugins_are_quarantined_and_named_and_the_others_serve(tmp_path: Path) -> None:
    for name, (code, _) in BROKEN.items():
        install(tmp_path / "site", name, code)
    with platform(tmp_path / "platform", environ=path_with(tmp_path / "site")) as one:
        plugins = {plugin["name"]: plugin for plugin in one.ready["plugins"]}
        assert {name: plugin["health"] for name, plugin in plugins.items()} == {
            **dict.fromkeys(("users", "projects", "audit"), "up"),
            **dict.fromkeys(BROKEN, "quarantined"),
        }
        told = {name: plugins[name]["reason"] for name in BROKEN}
        assert [(name, told[name]) for name, (_, reason) in BROKEN.items() if reason not in told[name]] == []
        person = one.join("weather@example.com")
        assert one.project(person, "Sun")["name"] == "Sun"
        assert one.stop() == 0


def test_a_folder_that_only_its_owner_may_enter_is_enough(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with platform(closed / "platform", fresh=True) as one:
        assert one.call("GET", "/readyz").status == 200
        assert one.stop() == 0
    assert closed.stat().st_mode & 0o777 == 0o700
    assert tmp_path.stat().st_mode & 0o777 == 0o700


def pythons() -> list[str]:
    """Interpreters of this version that an ordinary user may run."""
    minor = f"python3.{sys.version_info.minor}"
    found = [os.path.realpath(sys.executable), f"/usr/bin/{minor}", f"/usr/local/bin/{minor}"]
    may = [path for path in found if os.access(path, os.X_OK)]
    return [path for path in may if all(folder.stat().st_mode & 0o001 for folder in Path(path).parents)]


@pytest.mark.skipif(os.geteuid() != 0, reason="not root: all other tests show that an ordinary user can run it")
@pytest.mark.skipif(not pythons(), reason="no Python of this version that an ordinary user may run")
@pytest.mark.drill
def test_an_ordinary_user_can_run_it() -> None:
    nobody = pwd.getpwnam("nobody").pw_uid
    with tempfile.TemporaryDirectory() as name:
        os.chown(name, nobody, nobody)
        one = Platform(
            Path(name),
            environ={
                "PYTHONPATH": os.pathsep.join(path for path in sys.path if "lib/python" not in path or "site-" in path)
            },
            program=[pythons()[0], "-c", "from acme.cli import main; main()"],
            user=nobody,
        )
        try:
            one.start()
            assert {Path(f"/proc/{pid}").stat().st_uid for pid in one.database_processes()} == {nobody}
            one.project(one.join("ordinary@example.com"), "Ordinary")
            assert one.stop() == 0
            assert one.database_processes() == []
        finally:
            one.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="not root")
def test_root_runs_the_database_as_somebody_else(running: Platform) -> None:
    owners = {Path(f"/proc/{pid}").stat().st_uid for pid in running.database_processes()}
    assert owners == {pwd.getpwnam("nobody").pw_uid}


def test_secrets_are_for_the_owner_alone(running: Platform) -> None:
    secrets = running.data / "secrets"
    kept = [path for path in secrets.rglob("*") if path.is_file()]
    assert kept
    assert {path.stat().st_mode & 0o777 for path in kept} == {0o600}
    assert secrets.stat().st_mode & 0o777 == 0o700


def test_logs_hold_no_secret_and_no_personal_data(running: Platform) -> None:
    person = running.join("quiet@example.com")
    running.call("GET", "/v1/users/me", token=person.token)
    log = running.log()
    assert log
    hidden = ["quiet@example.com", "correct horse", person.token, person.tokens["refresh_token"]]
    assert [word for word in hidden if word in log] == []
    assert [line for line in log.splitlines() if line.startswith("{") and not json.loads(line)] == []


def test_the_command_tells_its_version_without_starting_anything() -> None:
    shown = subprocess.run([ACME, "--help"], capture_output=True, text=True, timeout=30, check=True)
    assert "up" in shown.stdout
    assert "mailbox" in shown.stdout
