"""`acme up` as a process of its own, as the system tests start, call, kill and look at it."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import re
import selectors
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

import asyncpg

from acme.testing.mailbox import Mailbox
from tests import prepared

ACME: Final = str(Path(sys.executable).with_name("acme"))
"""The command as it is installed."""

PASSWORD: Final = "correct horse battery staple"

PLENTY: Final = {
    f"ACME_GATEWAY__LIMITS__{name}__{key}": "1000000"
    for name in ("DEFAULT", "CREDENTIALS")
    for key in ("RATE", "BURST", "ADDRESS_RATE", "ADDRESS_BURST")
}
"""Limits that no test meets by chance."""

WITHOUT_AUDIT: Final = {"ACME_PLATFORM__DISABLED": '["audit"]'}
"""One process of `--split` fewer, where a test is about none of what the audit service does."""

NO_AUTHORITIES: Final = {"SSL_CERT_FILE": os.devnull, "SSL_CERT_DIR": os.devnull}
"""Nobody here is vouched for by the authorities that the world believes in. To load those, which aiohttp does twice when it
is imported, is a tenth of what a process takes to start."""

SHOWS_OUR_INSIDE: Final = re.compile(
    r'Traceback|File "|\.py\b|line \d+, in|SELECT |INSERT |UPDATE .* SET|DELETE FROM|asyncpg|relation "|/tmp/|/proc/'
)
"""What no answer may hold: stack traces, SQL, paths."""


def path_with(folder: Path) -> dict[str, str]:
    """The environment that puts `folder` on Python's path, before what is there already."""
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))}


def wait_for(what: str, condition: Callable[[], Any], limit: float = 10.0, every: float = 0.01) -> float:
    """Seconds until `condition()` was true, which is asked `every` so many.

    Raises:
        AssertionError: it was not within `limit` seconds.
    """
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < limit, f"{what}: not within {limit:g} s"
        time.sleep(every)
    return time.monotonic() - start


def known_within(limit: float, ask: Callable[[], int], wanted: int = 401, busy: float = 10.0) -> float:
    """After how many seconds the question began that was the first to be answered with the status `wanted`. None that begins
    later than `limit` is answered as before: where a machine has much else to do, it may be 503 for a while, as long as a
    process has not heard what is new.

    Raises:
        AssertionError: one was, or it was not `wanted` for `busy` seconds more.
    """
    start = time.monotonic()
    while True:
        begun = time.monotonic() - start
        if (status := ask()) == wanted:
            return begun
        assert begun < limit or (status == 503 and begun < limit + busy), f"{status} after {begun:.2f} s"
        time.sleep(0.01)


@dataclass(frozen=True)
class Reply:
    """One HTTP reply."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def call(
    api: str,
    verb: str,
    path: str,
    body: object = None,
    *,
    token: str = "",
    headers: Mapping[str, str] | None = None,
    timeout: float = 30.0,
    context: ssl.SSLContext | None = None,
) -> Reply:
    """One request on a connection of its own. `body`: bytes as they are, anything else as JSON. `context`: for https."""
    sent = dict(headers or {})
    content: bytes | None = None
    if body is not None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent.setdefault("Content-Type", "application/json")
    if token:
        sent["Authorization"] = f"Bearer {token}"
    where = urlsplit(api)
    if where.scheme == "https":
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            where.netloc, timeout=timeout, context=context
        )
    else:
        connection = http.client.HTTPConnection(where.netloc, timeout=timeout)
    with contextlib.closing(connection):
        connection.request(verb, path, content, sent)
        reply = connection.getresponse()
        return Reply(reply.status, reply.headers, reply.read())


@dataclass
class Person:
    """Somebody logged in."""

    email: str
    tokens: dict[str, Any] = field(default_factory=dict)

    @property
    def token(self) -> str:
        return str(self.tokens["access_token"])


class Platform:
    """One data folder, and the process that runs on it, if any.

    The process leads a process group of its own. Its working directory is `folder`, so that a test may put an
    `acme.toml` there; its data is in `folder/data`, if not named otherwise; what it logs is in `folder/log`.
    """

    def __init__(
        self,
        folder: Path,
        *options: str,
        data: str = "data",
        environ: Mapping[str, str] | None = None,
        program: Sequence[str] = (ACME,),
        user: int | None = None,
        fresh: bool = False,
    ) -> None:
        """`program` with `user` (a uid, for root only) runs it as somebody else. `fresh`: the first start has to make all
        that it needs; otherwise PostgreSQL's folder is there, migrated and empty (tests/prepared.py)."""
        self.program, self.user = list(program), user
        self.fresh = fresh or user is not None or self.program != [ACME]
        self.folder, self.options = folder, options
        self.data = folder / data
        self.environ = {**os.environ, **NO_AUTHORITIES, **PLENTY, "NO_COLOR": "1", "COLUMNS": "200", **(environ or {})}
        self.ready: dict[str, Any] = {}
        self.process: subprocess.Popen[bytes] | None = None
        self.context: ssl.SSLContext | None = None
        """Whom its callers believe over https."""

    def start(self, *options: str, limit: float = 60.0) -> Self:
        """Starts it and returns when it says that it is ready."""
        folder = self.folder
        folder.mkdir(parents=True, exist_ok=True)
        if not self.fresh:
            prepared.prepare(self.data)
        command = [
            *self.program,
            "up",
            "--json",
            "--data",
            str(self.data),
            *(options or self.options or ("--port", "0")),
        ]
        with (folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env=self.environ,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                user=self.user,
                group=self.user,
                extra_groups=None if self.user is None else [],
            )
        line = self._line(limit)
        assert line, f"acme up ended without being ready ({self.process.wait()}):\n{self.log()}"
        self.ready = json.loads(line)
        return self

    def _line(self, limit: float) -> bytes:
        """The first line of its standard output; b"" when it ends before."""
        process = self.running
        assert process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            if not selector.select(limit):
                self.kill_everything()
                raise AssertionError(f"acme up is not ready after {limit:g} s:\n{self.log()}")
        return process.stdout.readline()

    def run(self, *options: str, limit: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Starts it in the expectation that it ends by itself."""
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [ACME, "up", "--json", "--data", str(self.data), *options]
        return subprocess.run(command, cwd=self.folder, env=self.environ, capture_output=True, text=True, timeout=limit)

    @property
    def running(self) -> subprocess.Popen[bytes]:
        assert self.process is not None, "not started"
        return self.process

    @property
    def api(self) -> str:
        return str(self.ready["api"])

    def log(self) -> str:
        """What it has written to the standard error so far, in all its starts."""
        return (self.folder / "log").read_text(errors="replace")

    def wait(self, limit: float = 30.0) -> int:
        """Exit status of the process, once it has ended."""
        status = self.running.wait(limit)
        assert self.running.stdout is not None
        self.running.stdout.close()
        self.process = None
        return status

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Asks it to end and returns its exit status."""
        self.running.send_signal(how)
        return self.wait()

    def kill(self) -> None:
        """Kills the process and nothing else."""
        self.running.kill()
        self.wait()

    def kill_everything(self) -> None:
        """Kills its process group and its database's processes in one go."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.running.pid, signal.SIGKILL)
        for pid in self.database_processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.wait()

    def database_processes(self) -> list[int]:
        """PostgreSQL's processes on this data folder."""
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdecimal() and os.readlink(entry / "cwd") == str(self.data / "postgres"):
                    found.append(int(entry.name))
        return found

    def close(self) -> None:
        """Ends it, however it stands, and removes its data: the folder that pytest gave lives until the run ends."""
        if self.process is not None:
            self.kill_everything()
        shutil.rmtree(self.data, ignore_errors=True)

    def call(self, verb: str, path: str, body: object = None, **options: Any) -> Reply:
        """One request to this platform; see `call`."""
        return call(self.api, verb, path, body, **{"context": self.context, **options})

    @property
    def mailbox(self) -> Mailbox:
        """The same mails as `mails()`, without a process for every look."""
        return Mailbox(self.data / "mailbox")

    def mails(self) -> list[dict[str, Any]]:
        """What `acme mailbox --json` shows, newest first."""
        command = [ACME, "mailbox", "--json", "--data", str(self.data)]
        shown = subprocess.run(command, env=self.environ, capture_output=True, text=True, timeout=30, check=True)
        mails: list[dict[str, Any]] = json.loads(shown.stdout)
        return mails

    def join(self, email: str) -> Person:
        """Signs somebody up and logs in; nothing is verified."""
        account = {"email": email, "password": PASSWORD, "display_name": email.split("@")[0].title()}
        assert self.call("POST", "/v1/users", account).status == 202
        return self.log_in(email)

    def log_in(self, email: str) -> Person:
        """A new session of somebody who has signed up."""
        reply = self.call("POST", "/v1/sessions", {"email": email, "password": PASSWORD})
        assert reply.status == 201, reply.body
        return Person(email, reply.json)

    def project(self, person: Person, name: str) -> dict[str, Any]:
        """Makes a project."""
        reply = self.call("POST", "/v1/projects", {"name": name}, token=person.token)
        assert reply.status == 201, reply.body
        made: dict[str, Any] = reply.json
        return made


@contextlib.contextmanager
def platform(
    folder: Path, *options: str, environ: Mapping[str, str] | None = None, fresh: bool = False
) -> Iterator[Platform]:
    """A started platform, which is gone afterwards."""
    one = Platform(folder, *options, environ=environ, fresh=fresh)
    try:
        yield one.start()
    finally:
        one.close()


def check_problem(reply: Reply, status: int, code: str = "") -> dict[str, Any]:
    """The reply is a problem by RFC 9457 that says enough and shows nothing of our inside."""
    assert reply.status == status, (reply.status, reply.body[:2000])
    assert reply.headers["Content-Type"] == "application/problem+json"
    problem: dict[str, Any] = json.loads(reply.body)
    assert problem["status"] == status
    assert problem["code"]
    if code:
        assert problem["code"] == code
    assert problem["request_id"] == reply.headers["X-Request-Id"]
    assert problem["title"]
    assert problem["detail"]
    assert not SHOWS_OUR_INSIDE.search(reply.body.decode()), reply.body
    return problem


async def connect(one: Platform, database: str) -> asyncpg.Connection:
    """A session in one of the platform's databases, beside those it has itself."""
    folder = os.open(
        one.data / "postgres", os.O_RDONLY
    )  # by its number: a socket's path is short, a test's folder long
    try:
        return await asyncpg.connect(host=f"/proc/self/fd/{folder}", user="acme", database=database)
    finally:
        os.close(folder)


async def until_waiting(connection: asyncpg.Connection, sessions: int, limit: float = 10.0) -> None:
    """Returns when at least so many sessions of this database wait for a lock."""
    sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with asyncio.timeout(limit):
        while await connection.fetchval(sql) < sessions:  # noqa: ASYNC110 - PostgreSQL has no event for it
            await asyncio.sleep(0.002)
