"""What is a folder's own; what every store of objects does is in tests/contract/test_objects.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from acme.drivers.files import Files, check, open_objects
from acme.errors import Unavailable
from acme.ports import ObjectStore


async def names(store: ObjectStore) -> list[str]:
    return [each.name async for each in store.list()]


async def test_a_url_without_a_path_is_the_archive_of_the_data_folder(tmp_path: Path) -> None:
    store = await open_objects("file:", data=tmp_path)
    await store.create("a/b", b"1")
    assert (tmp_path / "archive" / "a" / "b").read_bytes() == b"1"


async def test_a_path_may_have_characters_that_urls_escape(tmp_path: Path) -> None:
    store = await open_objects(f"file://{tmp_path}/two%20words", data=Path("/nowhere"))
    await store.create("a", b"1")
    assert (tmp_path / "two words" / "a").read_bytes() == b"1"


async def test_what_a_crash_has_left_half_written_is_no_object(tmp_path: Path) -> None:
    store = Files(tmp_path)
    await store.create("a", b"whole")
    (tmp_path / ".draft~0011").write_bytes(b"ha")
    assert await names(store) == ["a"]
    with pytest.raises(ValueError, match="cannot be the name"):
        await store.get(".draft~0011")


async def test_nothing_is_left_beside_an_object(tmp_path: Path) -> None:
    store = Files(tmp_path)
    await store.create("dir/a", b"1")
    await store.put("dir/a", b"2")
    assert [each.name for each in (tmp_path / "dir").iterdir()] == ["a"]


async def test_a_folder_that_is_in_order_again_is_well(tmp_path: Path) -> None:
    (tmp_path / "folder").write_bytes(b"in the way")
    store = Files(tmp_path / "folder")
    with pytest.raises(Unavailable, match="cannot be used"):
        await store.create("a", b"1")
    assert store.state.startswith("the folder cannot be used")
    (tmp_path / "folder").unlink()
    await store.create("a", b"1")
    assert store.state == "ok"


@pytest.mark.parametrize("name", ["", "/a", "a/", "a//b", "../a", "a/./b", "a b", "ä", "a\n", "x" * 901])
def test_a_name_that_some_store_could_not_keep_is_none(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name of an object"):
        check(name)


def test_a_name_is_given_back_as_it_is() -> None:
    assert check("v1/topic=acme.audit.log/x+3.avro") == "v1/topic=acme.audit.log/x+3.avro"
