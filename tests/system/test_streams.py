"""Streams through a gateway and a worker, each a process: many listeners, slow ones, uploads nobody reads, and processes
that die or end meanwhile."""

from __future__ import annotations

import json
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.system.pair import MIB, PIECE, Pair, head_of, resident, two
from tests.trial import trial_folder

__all__ = ["trial_folder"]

LISTENERS = 1000
A_LISTENER = 64 * 1024
"""Bytes of the gateway's memory that one may cost."""
STALLED = 16 * MIB
"""Bytes that an upload which nobody reads, or a listener that reads nothing, may cost a process."""
MUCH = {"rate": 6e6, "burst": 1_000_000, "address_rate": 6e6, "address_burst": 1_000_000}
SETTINGS = {
    "limits": {"default": MUCH, "credentials": MUCH},
    "connections": {"per_address": 5000},
    "streams_each": 5000,
}
END = b"event: end\ndata: {}\n\n"
LAST_CHUNK = b"0\r\n\r\n"


@pytest.fixture(name="pair")
def _pair(trial_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with two(trial_folder, tmp_path_factory.mktemp("t"), **SETTINGS, write_timeout=3.0) as pair:
        yield pair


@contextmanager
def asking(pair: Pair, verb: str, path: str, *lines: str) -> Iterator[socket.socket]:
    """A connection of its own that has sent this head."""
    with socket.create_connection(("127.0.0.1", pair.port), 60) as client:
        client.sendall(pair.head(verb, path, "\r\n".join(lines) or "Accept: */*"))
        yield client


def go(pair: Pair) -> None:
    with asking(pair, "PUT", "/v1/blobs/go", "Content-Length: 1", "Connection: close") as client:
        client.sendall(b"x")
        assert head_of(client)[0].startswith("HTTP/1.1 201 ")


def rest_of(client: socket.socket, enough: Callable[[bytes], bool], limit: float = 60.0) -> bytes:
    """What comes until it is enough."""
    data, until = b"", time.monotonic() + limit
    client.settimeout(limit)
    while not enough(data):
        assert time.monotonic() < until, data[-200:]
        more = client.recv(65536)
        assert more, data[-200:]
        data += more
    return data


@pytest.mark.drill
def test_a_thousand_listen_at_little_cost_and_hear_all_and_a_drain_ends_them_in_order(
    pair: Pair, measured: Callable[[str, object], None]
) -> None:
    with ExitStack() as stack:
        for _ in range(20):  # what only the first ones cost
            with asking(pair, "GET", "/v1/ticks?count=1") as client:
                rest_of(client, lambda data: data.endswith(LAST_CHUNK))
        before = {name: resident(pid) for name, pid in pair.pids().items()}
        clients = []
        for _ in range(LISTENERS):
            client = stack.enter_context(asking(pair, "GET", "/v1/ticks?count=2"))
            assert b"id: 1\n" in rest_of(client, lambda data: b"data: " in data and data.endswith(b"\n\n\r\n"))
            clients.append(client)
        for name, pid in pair.pids().items():
            each = (resident(pid) - before[name]) / LISTENERS
            measured(f"KiB of the {name} for each of {LISTENERS} listeners", round(each / 1024, 1))
            assert each <= A_LISTENER
        started = time.perf_counter()
        with asking(pair, "GET", "/v1/ticks?count=1") as client:  # and others are served
            rest_of(client, lambda data: data.endswith(LAST_CHUNK))
        measured(f"s for another stream while {LISTENERS} listen", round(time.perf_counter() - started, 3))
        listening, leaving = clients[:500], clients[500:]
        for client in leaving:
            client.close()
        go(pair)
        for client in listening:
            heard = rest_of(client, lambda data: data.endswith(LAST_CHUNK))
            assert b"id: 2\n" in heard
            assert END in heard


def test_a_gateway_that_ends_sends_every_listener_away_in_order(pair: Pair) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(asking(pair, "GET", "/v1/ticks?count=2")) for _ in range(100)]
        for client in clients:
            rest_of(client, lambda data: data.endswith(b"\n\n\r\n"))
        assert pair.gateway.stdin is not None
        pair.gateway.stdin.close()
        for client in clients:
            heard = rest_of(client, lambda data: data.endswith(LAST_CHUNK))
            assert b"retry: " in heard
            assert b"event: " not in heard
            assert client.recv(1) == b""  # not reset
    assert pair.gateway.wait(20) == 0


def test_a_worker_that_dies_is_told_to_who_listens_and_the_connection_goes_on(pair: Pair) -> None:
    with asking(pair, "GET", "/v1/ticks?count=2") as client:
        rest_of(client, lambda data: data.endswith(b"\n\n\r\n"))
        pair.worker.kill()
        heard = rest_of(client, lambda data: data.endswith(LAST_CHUNK)).decode()
        (line,) = [line for line in heard.split("\n") if line.startswith("data: ")]
        problem: Any = json.loads(line.removeprefix("data: "))
        assert (problem["status"], problem["code"]) == (503, "outcome_unknown")
        client.sendall(pair.head("GET", "/healthz", "Connection: close"))
        assert head_of(client)[0].startswith("HTTP/1.1 200 ")


@pytest.mark.drill
def test_listeners_that_read_nothing_are_cut_off_and_fill_no_memory(
    pair: Pair, measured: Callable[[str, object], None]
) -> None:
    with asking(pair, "GET", "/v1/ticks?count=1") as client:
        rest_of(client, lambda data: data.endswith(LAST_CHUNK))
    before = {name: resident(pid) for name, pid in pair.pids().items()}
    slow = 20
    with ExitStack() as stack:
        clients = [stack.enter_context(asking(pair, "GET", "/v1/ticks?count=-1000000")) for _ in range(slow)]
        most = dict(before)
        until = time.monotonic() + 60
        while not all(map(_is_cut, clients)):
            assert time.monotonic() < until
            most = {name: max(most[name], resident(pid)) for name, pid in pair.pids().items()}
            time.sleep(0.05)  # between two looks
    for name in before:
        each = (most[name] - before[name]) / slow
        measured(f"KiB of the {name} at most for each of {slow} listeners that read nothing", round(each / 1024))
        assert most[name] - before[name] <= 2 * STALLED


def _is_cut(client: socket.socket) -> bool:
    """Whether the connection was reset, without reading what came."""
    return client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0 or _state(client) == 7


def _state(client: socket.socket) -> int:
    """The TCP state of a socket: 7 is CLOSE."""
    return client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]


@pytest.mark.drill
def test_an_upload_that_nobody_reads_waits_with_the_client_and_fills_no_memory(
    pair: Pair, measured: Callable[[str, object], None]
) -> None:
    pair.up(MIB)
    before, size = pair.peaks(), 256 * MIB
    with asking(pair, "PUT", "/v1/blobs/held", f"Content-Length: {size}") as client:
        client.setblocking(False)
        sent = 0
        with selectors.DefaultSelector() as selector:
            selector.register(client, selectors.EVENT_WRITE)
            while selector.select(1.0):  # until nothing more goes for a second
                sent += client.send(PIECE)
        measured("MiB that were taken of an upload that nobody reads", round(sent / MIB, 1))
        assert sent < size // 2
        for name, peak in pair.peaks().items():
            measured(f"MiB more at the peak of the {name}", round((peak - before[name]) / MIB, 1))
            assert peak - before[name] <= STALLED
        go(pair)
        client.setblocking(True)
        client.settimeout(60)
        while sent < size:
            at = sent % len(PIECE)
            sent += client.send(PIECE[at : at + size - sent])
        assert json.loads(head_of(client)[1])["size"] == size
    for name, peak in pair.peaks().items():
        assert peak - before[name] <= 64 * MIB, name
