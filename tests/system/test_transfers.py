"""Bytes through a gateway and a worker, each a process, over a unix socket: whole, and never kept whole."""

from __future__ import annotations

import json
import socket
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.soaking import soaking
from tests.system.pair import MIB, PIECE, Pair, head_of, two
from tests.trial import trial_folder

__all__ = ["trial_folder"]

EXTRA = 64 * MIB
"""Bytes that a transfer may cost a process, whatever its size."""


@pytest.fixture(name="pair")
def _pair(trial_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with two(trial_folder, tmp_path_factory.mktemp("t")) as pair:
        yield pair


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


@pytest.mark.drill
def test_a_worker_that_dies_half_way_leaves_half_a_download(pair: Pair) -> None:
    with socket.create_connection(("127.0.0.1", pair.port), 60) as client:
        client.sendall(pair.head("GET", f"/v1/blobs/{1024 * MIB}", "Connection: close"))
        assert head_of(client)[0].startswith("HTTP/1.1 200 ")
        pair.worker.kill()
        with pytest.raises(ConnectionResetError):
            _to_the_end(client)


@pytest.mark.drill
def test_a_worker_that_dies_half_way_makes_an_upload_unknown(pair: Pair) -> None:
    with socket.create_connection(("127.0.0.1", pair.port), 60) as client:
        client.sendall(pair.head("PUT", "/v1/blobs/a", f"Content-Length: {1024 * MIB}"))
        for _ in range(20):
            client.sendall(PIECE)
        pair.worker.kill()
        status, rest = head_of(client)
        assert status.startswith("HTTP/1.1 503 ")
        assert json.loads(rest)["code"] == "outcome_unknown"
