"""The worker process of the kit: one order a connection, and an end with its standard input."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from acme.testing.worker import Answer, Order

LIMIT = 20.0


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("worker") / "socket"
    command = [sys.executable, "-P", "-m", "acme.testing.worker", str(path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    until = time.monotonic() + LIMIT
    while not path.exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    yield path
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(LIMIT) == 0


def say(path: Path, line: bytes) -> bytes:
    """What it answers to a line until it closes the connection."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(LIMIT)
        connection.connect(str(path))
        connection.sendall(line + b"\n")
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while data := connection.recv(65536):
            answer += data
        return answer


def test_an_order_that_cannot_be_met_is_answered_with_the_reason(path: Path) -> None:
    order = msgspec.json.encode(Order("weather", ("weather",), {}))
    assert msgspec.json.decode(say(path, order), type=Answer) == Answer("KeyError: 'weather'")
    wrong = msgspec.json.encode(Order("users", ("users",), {"gatewy": {}}))
    assert "gatewy: unknown key" in msgspec.json.decode(say(path, wrong), type=Answer).error


def test_what_is_no_order_ends_the_connection_and_not_the_process(path: Path) -> None:
    assert say(path, b"hello") == b""
    assert say(path, msgspec.json.encode(Order("weather", ("weather",), {}))) != b""
