"""Processes of `acme serve`, as the system tests put a platform together from them."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import selectors
import signal
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from acme.runtime.discovery import discover
from acme.testing import Server
from acme.testing.databases import migrated
from tests.redis_server import free_port as free_port
from tests.system.running import ACME, NO_AUTHORITIES, PASSWORD, PLENTY, Person, Reply, call

PLUGINS: Final = ("users", "projects")
READY: Final = 60.0
"""Seconds for a process to be ready."""


@dataclass
class Process:
    """One process of `acme serve`."""

    name: str
    running: subprocess.Popen[bytes]
    log_file: Path
    ready: dict[str, Any] = field(default_factory=dict)

    @property
    def api(self) -> str:
        return str(self.ready["api"])

    @property
    def listen(self) -> str:
        return str(self.ready["listen"])

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def wait_until_ready(self) -> None:
        """Returns when it says so."""
        assert self.running.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.running.stdout, selectors.EVENT_READ)
            assert selector.select(READY), f"{self.name} is not ready:\n{self.log()}"
        line = self.running.stdout.readline()
        assert line, f"{self.name} ended without being ready ({self.running.wait()}):\n{self.log()}"
        self.ready = json.loads(line)

    def stop(self, how: signal.Signals = signal.SIGTERM, limit: float = 30.0) -> int:
        """Asks it to end and returns its exit status."""
        self.running.send_signal(how)
        return self.wait(limit)

    def wait(self, limit: float = 30.0) -> int:
        status = self.running.wait(limit)
        if self.running.stdout is not None:
            self.running.stdout.close()
        return status

    def kill(self) -> None:
        """Ends it, however it stands."""
        if self.running.poll() is None:
            self.running.kill()
        self.wait()


class Deployment:
    """One platform: databases, a master key, a folder; processes come and go."""

    def __init__(self, folder: Path, server: str, urls: Mapping[str, str], bus: str) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        # Read from the working directory. What it takes to host the audit service as well is one process more.
        (folder / "acme.toml").write_text('[platform]\ndisabled = ["audit"]\n')
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ACME_")},
            **NO_AUTHORITIES,
            **PLENTY,
            "NO_COLOR": "1",
            "ACME_PLATFORM__DATA": str(folder / "data"),
            "ACME_PLATFORM__PUBLIC_URL": "http://acme.test",
            "ACME_DATABASE__URL": server,
            "ACME_DATABASE__CONNECTIONS": "4",
            "ACME_SECRETS__MASTER_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
            "ACME_GATEWAY__ACCESS_LOG": "false",
            "ACME_BUS__URL": bus,
            **{f"ACME_DATABASE__URLS__{name.upper()}": url for name, url in urls.items()},
        }
        self.processes: list[Process] = []

    def begin(self, name: str, *options: str, environ: Mapping[str, str] | None = None) -> Process:
        """Starts a process, and does not wait for it."""
        log = self.folder / f"{name}.log"
        with log.open("ab") as output:
            running = subprocess.Popen(
                [ACME, "serve", "--json", "--name", name, *options],
                cwd=self.folder,
                env=self.surroundings(environ),
                stdout=subprocess.PIPE,
                stderr=output,
                start_new_session=True,
            )
        process = Process(name, running, log)
        self.processes.append(process)
        return process

    def start(self, name: str, *options: str, environ: Mapping[str, str] | None = None) -> Process:
        """Starts a process and returns when it is ready."""
        process = self.begin(name, *options, environ=environ)
        process.wait_until_ready()
        return process

    def run(
        self, *options: str, environ: Mapping[str, str] | None = None, limit: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """Starts one in the expectation that it ends by itself."""
        return subprocess.run(
            [ACME, "serve", "--json", *options],
            cwd=self.folder,
            env=self.surroundings(environ),
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
        )

    def surroundings(self, environ: Mapping[str, str] | None) -> dict[str, str]:
        """The platform's environment with another over it, in which "" takes a variable away."""
        merged = {**self.environ, **(environ or {})}
        return {name: value for name, value in merged.items() if value}

    def close(self) -> None:
        for process in self.processes:
            process.kill()


def services(**addresses: str) -> dict[str, str]:
    """`[services]` as environment."""
    return {f"ACME_SERVICES__{name.upper()}": address for name, address in addresses.items()}


@contextlib.asynccontextmanager
async def _databases(server: Server, names: Iterable[str], *, migrate: bool) -> Any:
    installed = {entry.name: plugin for entry, plugin in discover().usable()} if migrate else {}
    async with contextlib.AsyncExitStack() as stack:
        yield {
            name: server.url(
                await stack.enter_async_context(
                    migrated(server, installed[name]) if name in installed else server.database()
                )
            )
            for name in names
        }


@contextlib.contextmanager
def deployment(folder: Path, server: Server, *more: str, migrate: bool = True) -> Iterator[Deployment]:
    """A platform without processes yet, for `more` plugins as well; all is gone afterwards. Its databases are empty, and
    migrated, where `migrate` does not leave that to the first process that comes."""
    import asyncio

    with asyncio.Runner() as runner:
        context = _databases(server, (*PLUGINS, *more, "bus"), migrate=migrate)
        urls = runner.run(context.__aenter__())
        bus = urls.pop("bus")
        one = Deployment(folder, server.url("postgres"), urls, bus)
        try:
            yield one
        finally:
            one.close()
            runner.run(context.__aexit__(None, None, None))


def join(api: str, email: str) -> Person:
    """Signs somebody up and logs in."""
    account = {"email": email, "password": PASSWORD, "display_name": "Ada"}
    assert call(api, "POST", "/v1/users", account).status == 202
    reply = call(api, "POST", "/v1/sessions", {"email": email, "password": PASSWORD})
    assert reply.status == 201, reply.body
    return Person(email, reply.json)


def create(api: str, person: Person, name: str, key: str = "") -> Reply:
    """Makes a project."""
    headers = {"Idempotency-Key": key} if key else {}
    return call(api, "POST", "/v1/projects", {"name": name}, token=person.token, headers=headers)
