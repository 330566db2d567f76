"""What is a bucket's own; what every store of objects does is in tests/contract/test_objects.py."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack

import pytest

from acme.drivers.s3 import Bucket, open_objects
from acme.errors import Unavailable
from acme.ports import ObjectMissing
from tests.brokers.s3 import moto


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Address of a server that speaks S3 and has the bucket "archive"."""
    with moto() as address:
        yield address


@pytest.fixture
async def opened(server: str) -> AsyncIterator[Callable[[str], Bucket]]:
    """Opens buckets by what comes after "s3://"."""
    async with AsyncExitStack() as stack:

        def make(where: str) -> Bucket:
            name, _, prefix = where.partition("/")
            store = Bucket(name, prefix and f"{prefix}/", {"region": "us-east-1", "endpoint": server}, 10.0)
            stack.push_async_callback(store.close)
            return store

        yield make


async def test_two_prefixes_of_a_bucket_are_two_stores(opened: Callable[[str], Bucket]) -> None:
    one, two, whole = opened("archive/stores/one"), opened("archive/stores/two"), opened("archive/stores")
    await one.create("a", b"1")
    await two.create("a", b"2")
    assert (await one.get("a"), await two.get("a")) == (b"1", b"2")
    assert [each.name async for each in one.list()] == ["a"]
    assert {each.name async for each in whole.list()} >= {"one/a", "two/a"}
    await one.delete("a")
    assert await two.get("a") == b"2"


async def test_more_objects_than_one_answer_names_are_all_listed(
    opened: Callable[[str], Bucket], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened("archive/many")
    wanted = [f"{number:02}" for number in range(7)]
    for name in wanted:
        await store.create(name, b"")
    client = await store._opened()
    ask = client.list_objects_v2
    monkeypatch.setattr(client, "list_objects_v2", lambda **how: ask(MaxKeys=3, **how))
    assert [each.name async for each in store.list()] == wanted
    assert [each.name async for each in store.list(after="03")] == ["04", "05", "06"]


async def test_a_bucket_that_is_missing_is_told_by_the_servers_code_and_not_as_a_missing_object(
    opened: Callable[[str], Bucket],
) -> None:
    store = opened("elsewhere")
    with pytest.raises(Unavailable, match="NoSuchBucket"):
        await store.create("a", b"1")
    assert store.state == "the bucket answers NoSuchBucket"


async def test_a_bucket_is_well_again_once_it_answers(opened: Callable[[str], Bucket]) -> None:
    store = opened("archive/well")
    store._state = "the bucket cannot be reached: EndpointConnectionError"
    with pytest.raises(ObjectMissing):
        await store.get("a")
    await store.create("a", b"1")
    assert store.state == "ok"


async def test_opening_asks_nobody_and_what_stands_in_the_url_is_checked() -> None:
    store = await open_objects("s3://archive/us-east?region=us-east-1&endpoint=http://127.0.0.1:1")
    assert store.state == "ok"
    await store.close()
    with pytest.raises(ValueError, match="credentials are the process's own"):
        await open_objects("s3://key:secret@archive")
