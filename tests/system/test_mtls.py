"""mTLS between processes: who has no certificate of ours, or a wrong one, is told so, and the others live."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from acme.testing import Server
from tests.certificates import DAY, Authority
from tests.system.deployment import Deployment, Process, create, deployment, free_port, join, services
from tests.system.running import Person, call, check_problem, wait_for
from tests.unit.acme.cli.command import Command, ending

LIMIT = 10.0
"""Seconds in which a new certificate is in use."""


class Secured:
    """A platform in three processes over mTLS, on localhost."""

    def __init__(self, one: Deployment, folder: Path) -> None:
        self.one, self.folder, self.authority = one, folder, Authority()
        self.places = {name: f"grpcs://localhost:{free_port()}" for name in ("users", "projects")}

    def issue(self, name: str, *names: str, by: Authority | None = None, ends: timedelta = DAY) -> dict[str, str]:
        """A certificate for a process, as environment."""
        paths = (by or self.authority).issue(self.folder / name, *(names or ("localhost",)), ends=ends)
        return {f"ACME_MTLS__{key.upper()}": str(path) for key, path in paths.items()}

    def trust_only_ours(self, name: str) -> None:
        """Whatever issued the certificate of a process, it believes in our authority."""
        (self.folder / name / "authority.pem").write_bytes(self.authority.pem)

    def begin(self, name: str, certificate: dict[str, str]) -> Process:
        others = services(**{other: place for other, place in self.places.items() if other != name})
        options = (
            ("--only", name, "--listen", self.places[name]) if name in self.places else ("--gateway", "--port", "0")
        )
        return self.one.begin(name, *options, environ={**others, **certificate})

    def start_all(self) -> tuple[Process, Process, Process]:
        started = tuple(self.begin(name, self.issue(name)) for name in ("gateway", "users", "projects"))
        for process in started:
            process.wait_until_ready()
        gateway, users, projects = started
        return gateway, users, projects


@pytest.fixture
def secured(tmp_path: Path, postgres: Server) -> Iterator[Secured]:
    with deployment(tmp_path / "secured", postgres) as one:
        yield Secured(one, tmp_path / "certificates")


@dataclass
class Together:
    """A secured platform that several tests use; whoever ends a process starts its successor."""

    secured: Secured
    gateway: Process
    users: Process
    projects: Process

    def restart_projects(self, certificate: dict[str, str]) -> None:
        self.projects = restart_projects(self.secured, self.projects, certificate)


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory, postgres: Server) -> Iterator[Together]:
    folder = tmp_path_factory.mktemp("together")
    with deployment(folder / "secured", postgres) as one:
        secured = Secured(one, folder / "certificates")
        yield Together(secured, *secured.start_all())


def listed(gateway: Process, person: Person) -> int:
    return call(gateway.api, "GET", "/v1/projects", token=person.token).status


def told(process: Process, *words: str, since: int = 0) -> bool:
    """Whether one line of its log, from that character on, has all of these words."""
    return any(all(word in line for word in words) for line in process.log()[since:].splitlines())


def restart_projects(secured: Secured, projects: Process, certificate: dict[str, str]) -> Process:
    assert projects.stop() == 0
    again = secured.begin("projects", certificate)
    again.wait_until_ready()
    return again


def test_processes_with_certificates_of_one_authority_are_one_platform(together: Together) -> None:
    gateway, users = together.gateway, together.users
    person = join(gateway.api, "mtls@example.com")
    assert create(gateway.api, person, "Secured").status == 201
    assert users.listen == together.secured.places["users"]
    assert "acme_certificate_expires_timestamp_seconds" in call(gateway.api, "GET", "/metrics").body.decode()


def test_new_files_are_used_for_new_connections_and_the_old_ones_go_on(secured: Secured) -> None:
    gateway, users, projects = secured.start_all()
    person = join(gateway.api, "renew@example.com")
    new = Authority("The next one")
    both = secured.authority.pem + new.pem
    for process in (gateway, users, projects):  # first everybody believes in both, as one does
        (secured.folder / process.name / "authority.pem").write_bytes(both)
    wait_for("the renewal", lambda: all(told(p, "certificates renewed") for p in (gateway, users, projects)), LIMIT)
    for process in (gateway, users, projects):
        new.issue(secured.folder / process.name, "localhost")
        (secured.folder / process.name / "authority.pem").write_bytes(both)
    assert listed(gateway, person) == 200
    restart_projects(secured, projects, secured.issue("projects", by=new))
    wait_for("the new connection", lambda: listed(gateway, person) == 200, LIMIT)


def test_files_that_do_not_fit_together_are_told_and_not_used(together: Together) -> None:
    secured, gateway, projects = together.secured, together.gateway, together.projects
    since = len(projects.log())
    person = join(gateway.api, "halfway@example.com")
    (secured.folder / "projects" / "key.pem").write_bytes((secured.folder / "users" / "key.pem").read_bytes())
    wait_for("the refusal", lambda: told(projects, "are not used", "do not belong together", since=since), LIMIT)
    assert listed(gateway, person) == 200
    secured.issue("projects")
    wait_for("the renewal", lambda: told(projects, "certificates renewed", since=since), LIMIT)


def test_a_worker_whose_certificate_is_of_another_authority_is_not_believed(together: Together) -> None:
    secured, gateway = together.secured, together.gateway
    person = join(gateway.api, "other@example.com")
    stranger = secured.issue("projects", by=Authority("Somebody else"))
    since = len(gateway.log())
    together.restart_projects(stranger)
    wait_for("the refusal", lambda: told(gateway, "handshake refused", "self-signed certificate", since=since), LIMIT)
    check_problem(call(gateway.api, "GET", "/v1/projects", token=person.token), 503)
    assert call(gateway.api, "GET", "/v1/users/me", token=person.token).status == 200
    assert call(gateway.api, "GET", "/readyz").json["plugins"] == {"users": "ok", "projects": "unreachable"}
    together.restart_projects(secured.issue("projects"))
    wait_for("the worker", lambda: listed(gateway, person) == 200, LIMIT)


def test_a_worker_of_another_name_is_not_believed(together: Together) -> None:
    secured, gateway = together.secured, together.gateway
    person = join(gateway.api, "name@example.com")
    since, words = len(gateway.log()), ("handshake refused", "localhost", "ostname mismatch")
    together.restart_projects(secured.issue("projects", "elsewhere.example"))
    wait_for("the refusal", lambda: told(gateway, *words, since=since), LIMIT)
    check_problem(call(gateway.api, "GET", "/v1/projects", token=person.token), 503)
    assert call(gateway.api, "GET", "/v1/users/me", token=person.token).status == 200
    together.restart_projects(secured.issue("projects"))
    wait_for("the worker", lambda: listed(gateway, person) == 200, LIMIT)


@pytest.mark.drill
def test_a_certificate_that_expires_while_it_is_in_use_is_refused_at_the_next_handshake(secured: Secured) -> None:
    begun = time.monotonic()
    gateway, _, projects = secured.start_all()
    person = join(gateway.api, "expire@example.com")
    life = max(
        4.0, 2 * (time.monotonic() - begun)
    )  # a machine that has much else to do takes longer for the next start, too
    ends = time.time() + life
    restart_projects(secured, projects, secured.issue("projects", ends=timedelta(seconds=life)))
    wait_for("the worker", lambda: listed(gateway, person) == 200, LIMIT)
    gateway.stop()
    wait_for("the certificate's end", lambda: time.time() > ends + 1, limit=life + LIMIT)
    late = secured.begin("gateway", secured.issue("gateway"))
    late.wait_until_ready()
    wait_for("the refusal", lambda: told(late, "handshake refused", "certificate has expired"), LIMIT)
    assert call(late.api, "GET", "/v1/users/me", token=person.token).status == 200


def test_a_gateway_without_a_certificate_of_ours_gets_nowhere(together: Together) -> None:
    secured, gateway, users = together.secured, together.gateway, together.users
    since = len(users.log())
    outsider = secured.issue("outsider", by=Authority("Somebody else"))
    secured.trust_only_ours("outsider")
    ended = secured.one.run("--gateway", "--port", "0", environ={**services(**secured.places), **outsider})
    assert ended.returncode == 1
    assert "was not issued by an authority in" in ended.stderr
    person = join(gateway.api, "inside@example.com")
    assert listed(gateway, person) == 200
    assert not told(users, "handshake refused", since=since)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("expired", ["certificate", "expired on", "issue a new one"]),
        ("key of another", ["certificate", "key", "do not belong together"]),
        ("not PEM", ["certificate", "holds no certificate in PEM form"]),
        ("missing", ["authority", "cannot be read"]),
        ("one of three", ["[mtls]", "set together"]),
    ],
)
def test_certificate_files_that_cannot_be_used_stop_the_start(
    secured: Secured,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: str,
    words: list[str],
) -> None:
    """In this process, as nothing is started."""
    environ = secured.issue("gateway", ends=timedelta(seconds=-1) if change == "expired" else DAY)
    folder = secured.folder / "gateway"
    if change == "key of another":
        secured.issue("other")
        (folder / "key.pem").write_bytes((secured.folder / "other" / "key.pem").read_bytes())
    elif change == "not PEM":
        (folder / "certificate.pem").write_text("no certificate")
    elif change == "missing":
        (folder / "authority.pem").unlink()
    elif change == "one of three":
        del environ["ACME_MTLS__KEY"]
    around = secured.one.surroundings({**services(**secured.places), **environ})
    acme = Command(secured.one.folder, monkeypatch, capsys).within(around)
    with ending(60.0):
        ended = acme("serve", "--json", "--gateway", "--port", "0")
    assert ended.code == 1
    said = [line for line in ended.err.splitlines() if not line.startswith("{") or not json.loads(line)]
    assert [word for word in words if word not in "\n".join(said)] == []
    assert "Traceback" not in ended.err
