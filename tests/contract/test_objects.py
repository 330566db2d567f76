"""The contract of `ObjectStore`: over a folder, over S3 as moto's server speaks it, and over a server that keeps what it is
given (`make test-engines`)."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from acme import drivers
from acme.errors import Unavailable
from acme.ports import ObjectExists, ObjectLocked, ObjectMissing, ObjectStore
from tests.brokers.s3 import bucket, moto
from tests.brokers.versity import CREDENTIALS, VersityGateway, program

NAMES = ("a", "a-b", "a/b", "a/b.c", "a0", "b/c/d", "v1/topic=acme.audit.log/partition=3/x+3+00000000000000000000.avro")


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """Address of moto's server."""
    with moto() as address:
        yield address


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of Versity's gateway; skipped where it cannot be had."""
    try:
        binary = program()
    except LookupError as error:
        pytest.skip(str(error))
    server = VersityGateway(tmp_path_factory.mktemp("s3"), binary)
    try:
        with bucket(server.address, *CREDENTIALS.values()):
            yield server.address
    finally:
        server.stop()


CANNOT = {
    "test_what_was_deleted_is_gone[gateway]": (
        "Versity's gateway 1.8 takes the marker of a deleted object for the object where one is to be created"
    ),
}
"""Amazon's S3 does all of it (moto, too)."""


@pytest.fixture(params=["file", "s3", pytest.param("gateway", marks=pytest.mark.engines)])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ObjectStore]:
    if reason := CANNOT.get(request.node.name):
        request.applymarker(pytest.mark.xfail(reason=reason, raises=ObjectExists, strict=True))
    if request.param == "file":
        url = f"file://{tmp_path / 'objects'}"
    else:
        address = request.getfixturevalue(request.param)
        url = f"s3://archive/{secrets.token_hex(6)}?region=us-east-1&endpoint={address}"
    opened = await drivers.open_objects(url, data=tmp_path, timeout=10.0)
    yield opened
    await opened.close()


async def names(store: ObjectStore, prefix: str = "", after: str = "") -> list[str]:
    return [found.name async for found in store.list(prefix, after=after)]


async def test_what_was_created_is_read_back(store: ObjectStore) -> None:
    content = os.urandom(100_000)
    before = datetime.now(UTC) - timedelta(seconds=5)
    await store.create("dir/object.bin", content)
    assert await store.get("dir/object.bin") == content
    facts = await store.facts("dir/object.bin")
    assert (facts.name, facts.size, facts.locked_until) == ("dir/object.bin", 100_000, None)
    assert before < facts.modified_at < datetime.now(UTC) + timedelta(seconds=5)
    assert store.state == "ok"


async def test_nothing_is_created_twice(store: ObjectStore) -> None:
    await store.create("once", b"first")
    with pytest.raises(ObjectExists, match="once"):
        await store.create("once", b"second")
    assert await store.get("once") == b"first"


async def test_of_many_who_create_one_object_one_succeeds(store: ObjectStore) -> None:
    async def create(number: int) -> int | None:
        try:
            await store.create("race", b"%d" % number)
        except ObjectExists:
            return None
        return number

    won = [number for number in await asyncio.gather(*map(create, range(8))) if number is not None]
    assert len(won) == 1
    assert await store.get("race") == b"%d" % won[0]


async def test_put_replaces_what_was_there(store: ObjectStore) -> None:
    await store.put("place", b"first")
    await store.put("place", b"second")
    assert await store.get("place") == b"second"


async def test_empty_objects_are_objects(store: ObjectStore) -> None:
    await store.create("empty", b"")
    assert await store.get("empty") == b""


async def test_what_is_missing_is_said_to_be(store: ObjectStore) -> None:
    with pytest.raises(ObjectMissing, match="nothing"):
        await store.get("nothing")
    with pytest.raises(ObjectMissing, match="nothing"):
        await store.facts("nothing")
    await store.delete("nothing")


async def test_objects_are_listed_in_the_order_of_their_names(
    store: ObjectStore, request: pytest.FixtureRequest
) -> None:
    # A folder cannot hold "a" beside "a/b", and the gateway is one over a folder.
    made = [name for name in NAMES if name != "a" or "s3" in request.node.name]
    for name in reversed(made):
        await store.create(name, name.encode())
    assert await names(store) == sorted(made)
    assert await names(store, "a/") == ["a/b", "a/b.c"]
    assert await names(store, "a/b") == ["a/b", "a/b.c"]
    assert await names(store, "", "a/b.c") == [name for name in sorted(made) if name > "a/b.c"]
    assert await names(store, "c") == []


async def test_what_was_deleted_is_gone(store: ObjectStore) -> None:
    await store.create("gone", b"x")
    await store.delete("gone")
    assert await names(store) == []
    await store.create("gone", b"again")
    assert await store.get("gone") == b"again"


@pytest.mark.parametrize(
    "name", ["", "/a", "a/", "a//b", "../a", "a/../b", ".", "a b", "ä", "a\n", "a\x00b", "x" * 901]
)
async def test_names_that_are_none_are_refused(store: ObjectStore, name: str) -> None:
    for call in (store.get(name), store.create(name, b""), store.put(name, b""), store.delete(name), store.facts(name)):
        with pytest.raises(ValueError, match="cannot be the name of an object"):
            await call


async def test_what_is_locked_stays(store: ObjectStore, request: pytest.FixtureRequest) -> None:
    until = (datetime.now(UTC) + timedelta(days=2)).replace(microsecond=0)
    await store.create("kept", b"evidence", locked_until=until)
    if "file" in request.node.name:  # a folder cannot, and says so
        with pytest.raises(ValueError, match="use s3://"):
            await store.lock("kept", until)
        return
    assert (await store.facts("kept")).locked_until == until
    with pytest.raises(ObjectLocked, match="kept"):
        await store.delete("kept")
    with pytest.raises(ObjectLocked, match="kept"):
        await store.put("kept", b"forged")
    with pytest.raises(ValueError, match="later"):
        await store.lock("kept", until - timedelta(days=1))
    await store.lock("kept", until + timedelta(days=1))
    assert (await store.facts("kept")).locked_until == until + timedelta(days=1)
    assert await store.get("kept") == b"evidence"


async def test_locking_what_is_missing_says_so(store: ObjectStore) -> None:
    with pytest.raises(ObjectMissing):
        await store.lock("nothing", datetime.now(UTC) + timedelta(days=1))


async def test_a_bucket_that_is_away_is_unavailable(tmp_path: Path, s3: str) -> None:
    store = await drivers.open_objects("s3://archive?region=us-east-1&endpoint=http://127.0.0.1:1", timeout=0.5)
    with pytest.raises(Unavailable, match="cannot be reached"):
        await store.get("anything")
    assert "cannot be reached" in store.state
    await store.close()


async def test_a_folder_that_cannot_be_used_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = await drivers.open_objects(f"file://{tmp_path / 'file'}", data=tmp_path)
    with pytest.raises(Unavailable, match="cannot be used"):
        await store.create("anything", b"")
    assert "cannot be used" in store.state


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("s3:///archive", "write s3://BUCKET"),
        ("s3://key:secret@archive", "not in the URL"),
        ("s3://archive?color=red", "not color"),
        ("s3://archive/..", "cannot be the name"),
        ("file://elsewhere/archive", "another machine"),
        ("ftp://archive", "no driver for ftp"),
    ],
)
async def test_a_url_that_cannot_be_read_is_refused(tmp_path: Path, url: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        await drivers.open_objects(url, data=tmp_path)
