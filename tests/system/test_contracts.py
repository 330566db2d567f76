"""Processes that have different contracts of one plugin: what the caller gets, what the operator reads, who goes on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from acme import codegen
from acme.testing import Server
from tests.made import Made
from tests.system.deployment import Deployment, Process, deployment, free_port, join, services
from tests.system.running import call, check_problem, path_with, wait_for


@dataclass
class Versions:
    """A plugin, and another release of it in which one field has another type; each in a folder of its own."""

    one: Deployment
    plugin: str
    ours: Path
    theirs: Path
    place: str

    def worker(self, name: str, site: Path) -> Process:
        """A process that hosts the plugin of one folder."""
        options = ("--only", self.plugin, "--listen", self.place)
        return self.one.start(name, *options, environ={**path_with(site), **services(users=self.users)})

    def gateway(self) -> tuple[tuple[str, ...], dict[str, str]]:
        """Options and environment of the process that has the gateway and users, and our release of the plugin."""
        options = ("--gateway", "--only", "users", "--port", "0", "--listen", self.users)
        return options, {**path_with(self.ours), **services(**{self.plugin: self.place})}

    def __post_init__(self) -> None:
        self.users = f"grpc://127.0.0.1:{free_port()}"


@pytest.fixture
def versions(tmp_path: Path, postgres: Server) -> Iterator[Versions]:
    made = Made(tmp_path / "ours")
    metadata = made.folder / f"acme_{made.name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: acme-{made.name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[acme.plugins]\n{made.name} = {made.name}:plugin\n")
    theirs = tmp_path / "theirs"
    shutil.copytree(made.folder, theirs)
    contract = theirs / made.proto
    old = "  // What people call it.\n  string name = 3;"
    text = contract.read_text()
    assert old in text
    contract.write_text(text.replace(old, old.replace("string", "int64")))
    codegen.write(codegen.generate(theirs / "protos", f"{made.name}.contracts"), theirs / made.name / "contracts")
    with deployment(tmp_path / "platform", postgres, made.name) as one:
        one.environ["ACME_PLATFORM__DISABLED"] = '["projects", "audit"]'
        yield Versions(one, made.name, made.folder, theirs, f"grpc://127.0.0.1:{free_port()}")


def test_a_worker_with_another_field_type_is_not_called_and_the_others_go_on(versions: Versions) -> None:
    path = f"/v1/{versions.plugin}"
    options, environ = versions.gateway()
    gateway = versions.one.begin("gateway", *options, environ=environ)
    worker = versions.worker("ours", versions.ours)
    gateway.wait_until_ready()
    person = join(gateway.api, "contract@example.com")
    made = call(gateway.api, "POST", path, {"name": "Good"}, token=person.token)
    assert made.status == 201, made.body

    def status() -> int:
        return call(gateway.api, "GET", path, token=person.token).status

    assert worker.stop() == 0
    other = versions.worker("theirs", versions.theirs)
    wait_for(
        "the difference",
        lambda: call(gateway.api, "GET", "/readyz").json["plugins"][versions.plugin] == "contract differs",
    )
    problem = check_problem(call(gateway.api, "GET", path, token=person.token), 503, "contract_mismatch")
    assert "bring both to one version" in problem["detail"]
    assert call(gateway.api, "GET", "/v1/users/me", token=person.token).status == 200

    late_options = ("--gateway", "--port", "0")
    late = versions.one.run(*late_options, environ={**environ, **services(users=versions.users)})
    assert late.returncode == 1
    told = late.stderr[late.stderr.rindex("acme: ") :]
    words = (f"the contract of the plugin {versions.plugin} differs", versions.place, "workers first")
    assert [word for word in words if word not in told] == []

    assert other.stop() == 0
    versions.worker("ours again", versions.ours)
    wait_for("the worker", lambda: status() == 200)
    assert call(gateway.api, "GET", path, token=person.token).json[versions.plugin] == [made.json]
