"""Bytes through a gateway and a worker, each a process, over a unix socket: whole, and never kept whole."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.soaking import soaking
from tests.trial import trial_folder

__all__ = ["trial_folder"]

ROOT = Path(__file__).parents[2]
MIB = 1024 * 1024
EXTRA = 64 * MIB
"""Bytes that a transfer may cost a process, whatever its size."""
PIECE = bytes(range(256)) * 4096


@dataclass
class Pair:
    """The two processes."""

    gateway: subprocess.Popen[str]
    worker: subprocess.Popen[str]
    port: int
    token: str

    def peaks(self) -> dict[str, int]:
        """The most memory each has ever used, in bytes."""
        return {"gateway": _peak(self.gateway.pid), "worker": _peak(self.worker.pid)}

    def up(self, size: int) -> Any:
        """Puts so many bytes; the answer."""
        with socket.create_connection(("127.0.0.1", self.port), 60) as client:
            client.sendall(self._head("PUT", "/v1/blobs/a", f"Content-Length: {size}"))
            for at in range(0, size, len(PIECE)):
                client.sendall(PIECE[: size - at])
            status, rest = _head(client)
            assert status.startswith("HTTP/1.1 201 "), status
            return json.loads(rest)

    def down(self, size: int) -> tuple[int, bool]:
        """Gets so many bytes: how many came, and whether all were zeros."""
        buffer, zeros, got = bytearray(MIB), bytes(MIB), 0
        with socket.create_connection(("127.0.0.1", self.port), 60) as client:
            client.sendall(self._head("GET", f"/v1/blobs/{size}", "Connection: close"))
            status, rest = _head(client)
            assert status.startswith("HTTP/1.1 200 "), status
            got, clean = len(rest), rest == bytes(len(rest))
            while count := client.recv_into(buffer):
                got += count
                clean = clean and buffer[:count] == zeros[:count]
        return got, clean

    def _head(self, verb: str, path: str, line: str) -> bytes:
        lines = (f"{verb} {path} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {self.token}", line)
        return "\r\n".join((*lines, "", "")).encode()


@contextmanager
def _process(role: str, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], Any]]:
    command = [sys.executable, "-m", "tests.transfers", role, *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
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


@pytest.fixture(name="pair")
def _pair(trial_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    path = str(tmp_path_factory.mktemp("t") / "s")
    with (
        _process("worker", path, str(trial_folder)) as (worker, _),
        _process("gateway", path, str(trial_folder)) as (gateway, said),
    ):
        yield Pair(gateway, worker, said["port"], said["token"])


def _peak(pid: int) -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def _head(client: socket.socket) -> tuple[str, bytes]:
    """Status line, and what came of the body."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = client.recv(65536)
        assert more, data
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    return head.decode().partition("\r\n")[0], rest


def _to_the_end(client: socket.socket) -> None:
    while client.recv(MIB):
        pass


def _transfer(pair: Pair, size: int, measured: Callable[[str, object], None]) -> None:
    """Both ways; checks bytes and memory."""
    pair.up(MIB)
    pair.down(MIB)
    before, crc = pair.peaks(), 0
    for at in range(0, size, len(PIECE)):
        crc = zlib.crc32(PIECE[: size - at], crc)
    started = time.perf_counter()
    stored = pair.up(size)
    between = time.perf_counter()
    got = pair.down(size)
    ended = time.perf_counter()
    assert (stored["size"], stored["note"]) == (size, f"{crc:08x}")
    assert got == (size, True)
    measured(f"MB/s up, of {size // MIB} MiB", round(size / (between - started) / 1e6))
    measured(f"MB/s down, of {size // MIB} MiB", round(size / (ended - between) / 1e6))
    for name, peak in pair.peaks().items():
        grown = peak - before[name]
        measured(f"MiB more at the peak of the {name}, of {before[name] / MIB:.0f} before", round(grown / MIB, 1))
        assert grown <= EXTRA


@pytest.mark.soak
def test_bytes_go_up_and_down_through_a_worker_in_little_memory(
    pair: Pair, measured: Callable[[str, object], None]
) -> None:
    """64 MiB; with the profile of `make soak` 1 GiB."""
    _transfer(pair, (1024 if soaking() else 64) * MIB, measured)


def test_a_worker_that_dies_half_way_leaves_half_a_download(pair: Pair) -> None:
    with socket.create_connection(("127.0.0.1", pair.port), 60) as client:
        client.sendall(pair._head("GET", f"/v1/blobs/{1024 * MIB}", "Connection: close"))
        assert _head(client)[0].startswith("HTTP/1.1 200 ")
        pair.worker.kill()
        with pytest.raises(ConnectionResetError):
            _to_the_end(client)


def test_a_worker_that_dies_half_way_makes_an_upload_unknown(pair: Pair) -> None:
    with socket.create_connection(("127.0.0.1", pair.port), 60) as client:
        client.sendall(pair._head("PUT", "/v1/blobs/a", f"Content-Length: {1024 * MIB}"))
        for _ in range(20):
            client.sendall(PIECE)
        pair.worker.kill()
        status, rest = _head(client)
        assert status.startswith("HTTP/1.1 503 ")
        assert json.loads(rest)["code"] == "outcome_unknown"
