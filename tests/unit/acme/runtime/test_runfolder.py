"""Sockets of one machine: short names for long folders, and nobody's place is taken."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from acme.runtime.runfolder import RunFolder, alive


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[RunFolder]:
    one = RunFolder(tmp_path / "data")
    yield one
    one.close()


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[RunFolder]:
    one = RunFolder(tmp_path / ("a long name with spaces " * 6) / "data")
    yield one
    one.close()


def listening(path: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen()
    return listener


def test_the_folder_is_the_owners_alone_whatever_it_was(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o755)
    folder = RunFolder(tmp_path)
    folder.close()
    assert folder.path.stat().st_mode & 0o777 == 0o700


def test_an_ordinary_path_is_used_as_it_is(folder: RunFolder) -> None:
    assert folder.socket("a.sock") == str(folder.path / "a.sock")
    address = folder.address("users.grpc")
    assert address == f"grpc+unix://{folder.path}/users.grpc"
    assert folder.here(address) == folder.there(address) == address


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/self/fd is Linux's")
def test_a_path_that_is_too_long_gets_a_name_that_binds(deep: RunFolder) -> None:
    with listening(deep.socket("a.sock")):
        assert (deep.path / "a.sock").is_socket()
        assert alive(deep.socket("a.sock"))
    address = deep.address("users.grpc")
    assert len(deep.here(address)) < 60
    assert deep.there(deep.here(address)) == address
    assert " " not in address


def test_addresses_of_others_are_left_alone(deep: RunFolder) -> None:
    for address in ("grpc://projects:50051", "grpc+unix:///elsewhere/users.grpc"):
        assert deep.here(address) == deep.there(address) == address


def test_a_living_process_keeps_its_name_and_a_dead_ones_is_given_away(folder: RunFolder) -> None:
    with listening(folder.socket("control-users.sock")):
        assert folder.vacant("control-users") == "control-users-2.sock"
    assert (folder.path / "control-users.sock").exists()  # nobody listens on it any more
    assert folder.vacant("control-users") == "control-users.sock"
    assert not (folder.path / "control-users.sock").exists()


async def test_control_sockets_are_listed_and_others_are_not(folder: RunFolder) -> None:
    for name in ("control.sock", "control-users.sock", "users.grpc"):
        await asyncio.to_thread((folder.path / name).touch)
    assert folder.controls() == ["control-users.sock", "control.sock"]
