"""A folder as a store of objects. What it promises as a port is in tests/contract/test_objects.py."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from acme.drivers.files import Files, check, open_objects
from acme.errors import Unavailable


class Crash(Exception):
    """The machine stops here."""


async def test_without_a_path_it_is_a_folder_of_the_data_folder(tmp_path: Path) -> None:
    store = await open_objects("file:", data=tmp_path)
    await store.create("a/b", b"x")
    assert (tmp_path / "archive" / "a" / "b").read_bytes() == b"x"
    other = await open_objects(f"file://{tmp_path}/with%20space", data=tmp_path)
    await other.create("a", b"y")
    assert (tmp_path / "with space" / "a").read_bytes() == b"y"


async def test_what_a_crash_left_half_written_is_no_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Files(tmp_path)

    def crash(*_: object) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", crash)
        patch.setattr(Path, "unlink", lambda *_, **__: None)
        with pytest.raises(Crash):
            await store.create("a", b"half")
    assert len(os.listdir(tmp_path)) == 1
    assert [each async for each in store.list()] == []
    await store.create("a", b"whole")
    assert [each.name async for each in store.list()] == ["a"]


async def test_nothing_is_left_of_what_was_refused(tmp_path: Path) -> None:
    store = Files(tmp_path)
    await store.create("a", b"x")
    with pytest.raises(Unavailable, match="cannot be used"):
        await store.create("a/b", b"x")
    assert os.listdir(tmp_path) == ["a"]
    assert "cannot be used" in store.state
    assert await store.get("a") == b"x"
    assert store.state == "ok"


async def test_names_and_content_are_on_the_disk_when_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        flushed.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    await Files(tmp_path).create("a/b", b"x")
    assert flushed[0] == str(tmp_path)  # has the name "a" now
    assert ".draft~" in flushed[1]
    assert flushed[2:] == [str(tmp_path / "a")]


def test_temporary_names_cannot_be_objects() -> None:
    assert check("a/draft") == "a/draft"
    with pytest.raises(ValueError, match="cannot be the name"):
        check("a/.draft~1")
