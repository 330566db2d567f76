"""A gateway and a worker that streams, each a process, over a unix socket (tests/transfers.py)."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.system.running import NO_AUTHORITIES

ROOT = Path(__file__).parents[2]
MIB = 1024 * 1024
PIECE = bytes(range(256)) * 4096


@dataclass
class Pair:
    """The two processes."""

    gateway: subprocess.Popen[str]
    worker: subprocess.Popen[str]
    port: int
    token: str

    def pids(self) -> dict[str, int]:
        return {"gateway": self.gateway.pid, "worker": self.worker.pid}

    def peaks(self) -> dict[str, int]:
        """The most memory each has ever used, in bytes."""
        return {"gateway": peak(self.gateway.pid), "worker": peak(self.worker.pid)}

    def up(self, size: int) -> Any:
        """Puts so many bytes; the answer."""
        with socket.create_connection(("127.0.0.1", self.port), 60) as client:
            client.sendall(self.head("PUT", "/v1/blobs/a", f"Content-Length: {size}"))
            for at in range(0, size, len(PIECE)):
                client.sendall(PIECE[: size - at])
            status, rest = head_of(client)
            assert status.startswith("HTTP/1.1 201 "), status
            return json.loads(rest)

    def down(self, size: int) -> tuple[int, bool]:
        """Gets so many bytes: how many came, and whether all were zeros."""
        buffer, zeros, got = bytearray(MIB), bytes(MIB), 0
        with socket.create_connection(("127.0.0.1", self.port), 60) as client:
            client.sendall(self.head("GET", f"/v1/blobs/{size}", "Connection: close"))
            status, rest = head_of(client)
            assert status.startswith("HTTP/1.1 200 "), status
            got, clean = len(rest), rest == bytes(len(rest))
            while count := client.recv_into(buffer):
                got += count
                clean = clean and buffer[:count] == zeros[:count]
        return got, clean

    def head(self, verb: str, path: str, line: str) -> bytes:
        lines = (f"{verb} {path} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {self.token}", line)
        return "\r\n".join((*lines, "", "")).encode()


@contextmanager
def process(role: str, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], Any]]:
    command = [sys.executable, "-m", "tests.transfers", role, *arguments]
    environ = {**os.environ, **NO_AUTHORITIES}
    process = subprocess.Popen(command, cwd=ROOT, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, f"the {role} did not start"
        yield process, json.loads(line)
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait(20)


@contextmanager
def two(folder: Path, socket_in: Path, **settings: object) -> Iterator[Pair]:
    """The two, with these settings of the gateway; `folder` holds the contracts."""
    path = str(socket_in / "s")
    with (
        process("worker", path, str(folder)) as (worker, _),
        process("gateway", path, str(folder), json.dumps(settings)) as (gateway, said),
    ):
        yield Pair(gateway, worker, said["port"], said["token"])


def peak(pid: int) -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def head_of(client: socket.socket) -> tuple[str, bytes]:
    """Status line, and what came of the body."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = client.recv(65536)
        assert more, data
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    return head.decode().partition("\r\n")[0], rest


def resident(pid: int) -> int:
    """The memory a process uses, in bytes."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024
