"""Whoever reads an archive gets every record, or the name of the first object that is wrong."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from acme import ArchiveBroken, archived
from acme.archives.manifest import digest, read_manifest
from acme.contracts.audit.v1 import AuditRecord
from acme.contracts.projects.v1 import Project, ProjectCreated
from tests.archives import PLACE, TOPIC, Shelf, names

FILES = [names(start) for start in (0, 10, 20)]
Change = Callable[[dict[str, bytes]], None]


@pytest.fixture
async def full(shelf: Shelf) -> Shelf:
    """One with three files of ten records."""
    await shelf.send(30)
    assert [manifest.count for manifest in await shelf.run()] == [10, 10, 10]
    return shelf


async def rewritten(shelf: Shelf, change: Change) -> None:
    """What somebody does who owns the store."""
    objects = await shelf.objects()
    before = set(objects)
    change(objects)
    for name in before - set(objects):
        await shelf.store.delete(name)
    for name, content in objects.items():
        await shelf.store.put(name, content)


async def test_every_record_comes_back_with_its_place(full: Shelf) -> None:
    found = await full.read()
    assert [each.offset for each in found] == list(range(30))
    assert [each.file for each in found] == [names(each.offset // 10 * 10)[0] for each in found]
    records = await full.bus.read(PLACE, 0, limit=500)
    for each, record in zip(found, records, strict=True):
        assert each.message is not None
        assert (each.topic, each.partition, each.key) == (TOPIC, 0, record.key)
        assert (each.id, each.type) == (f"evt_{each.message.id[4:]}", "acme.audit.v1.AuditRecord")
        assert each.message.address.startswith("sealed-")
        assert int(each.at.timestamp() * 1000) in range(record.timestamp - 1, record.timestamp + 1)
        assert each.raw is None


async def test_an_archive_that_is_not_there_is_empty(shelf: Shelf) -> None:
    assert await shelf.read() == []


async def test_a_message_that_is_no_event_has_no_archive(shelf: Shelf) -> None:
    with pytest.raises(ValueError, match="no event"):
        _ = [each async for each in archived(shelf.store, Project)]


async def test_what_is_not_this_message_comes_as_it_was(shelf: Shelf) -> None:
    await shelf.send(1, b"garbage", None, ProjectCreated(project_id="prj_1"))
    await shelf.send(6)
    await shelf.run()
    found = await shelf.read()
    assert [each.message is None for each in found] == [False, True, True, True, *[False] * 6]
    assert [each.raw for each in found[1:3]] == [b"garbage", None]
    assert found[3].type == "acme.projects.v1.ProjectCreated"
    assert found[3].raw is not None


async def test_a_file_of_another_partition_is_not_this_ones(full: Shelf) -> None:
    objects = await full.objects()
    for ours, theirs in zip(FILES[0], names(0, 10), strict=True):
        await full.store.create(theirs, objects[ours])
    with pytest.raises(ArchiveBroken, match="another file's") as caught:
        await full.read()
    assert caught.value.name == names(0, 10)[1]


def flip(name: str, at: int) -> Change:
    def change(objects: dict[str, bytes]) -> None:
        content = bytearray(objects[name])
        content[at] ^= 1
        objects[name] = bytes(content)

    return change


def without(*gone: str) -> Change:
    def change(objects: dict[str, bytes]) -> None:
        for name in gone:
            del objects[name]

    return change


def swapped(one: str, other: str) -> Change:
    def change(objects: dict[str, bytes]) -> None:
        objects[one], objects[other] = objects[other], objects[one]

    return change


def cut(name: str, size: int) -> Change:
    def change(objects: dict[str, bytes]) -> None:
        objects[name] = objects[name][:size]

    return change


def edited(name: str, **fields: object) -> Change:
    """A manifest that says something else, written as manifests are."""

    def change(objects: dict[str, bytes]) -> None:
        objects[name] = msgspec.structs.replace(read_manifest(objects[name]), **fields).content()

    return change


def both(*changes: Change) -> Change:
    def change(objects: dict[str, bytes]) -> None:
        for each in changes:
            each(objects)

    return change


@pytest.mark.parametrize(
    ("change", "name", "missing"),
    [
        pytest.param(flip(FILES[1][0], 5), FILES[1][0], False, id="a byte of a file's header"),
        pytest.param(flip(FILES[1][0], -20), FILES[1][0], False, id="a byte of a file's records"),
        pytest.param(cut(FILES[1][0], 900), FILES[1][0], False, id="a file is cut"),
        pytest.param(cut(FILES[1][0], 0), FILES[1][0], False, id="a file is empty"),
        pytest.param(flip(FILES[1][1], 30), FILES[1][1], False, id="a byte of a manifest"),
        pytest.param(cut(FILES[1][1], 50), FILES[1][1], False, id="a manifest is cut"),
        pytest.param(without(FILES[1][0]), FILES[1][0], True, id="a file is gone"),
        pytest.param(without(FILES[1][1]), FILES[1][1], True, id="a manifest is gone"),
        pytest.param(without(FILES[2][1]), FILES[2][1], True, id="the last manifest is gone"),
        pytest.param(without(*FILES[0]), FILES[0][0], True, id="the first file is gone with its manifest"),
        pytest.param(without(*FILES[1]), FILES[1][0], True, id="a file in the middle is gone with its manifest"),
        pytest.param(swapped(FILES[0][0], FILES[1][0]), FILES[0][0], False, id="two files are swapped"),
        pytest.param(swapped(FILES[1][1], FILES[2][1]), FILES[1][1], False, id="two manifests are swapped"),
        pytest.param(
            both(swapped(FILES[1][0], FILES[2][0]), swapped(FILES[1][1], FILES[2][1])),
            FILES[1][1],
            False,
            id="two files are swapped with their manifests",
        ),
        pytest.param(edited(FILES[1][1], count=9), FILES[1][1], False, id="a manifest says another count"),
        pytest.param(edited(FILES[1][1], root="0" * 64), FILES[1][1], False, id="a manifest says another root"),
        pytest.param(edited(FILES[1][1], next=21), FILES[1][1], False, id="a manifest says another end"),
        pytest.param(edited(FILES[1][1], previous=""), FILES[1][1], False, id="a manifest begins a chain of its own"),
        pytest.param(edited(FILES[1][1], unproven=3), FILES[2][1], False, id="what nothing else says was changed"),
    ],
)
async def test_what_was_tampered_with_is_named(
    full: Shelf, change: Change, name: str, missing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acme.archives.reading.UNDERWAY", 0.0)
    await rewritten(full, change)
    with pytest.raises(ArchiveBroken) as caught:
        await full.read()
    assert (caught.value.name, caught.value.missing) == (name, missing)
    assert name in str(caught.value)


async def test_a_new_file_may_be_without_its_manifest_yet_if_it_is_the_last(full: Shelf) -> None:
    await full.store.delete(FILES[2][1])
    assert [each.offset for each in await full.read()] == list(range(20))
    await full.store.delete(FILES[1][1])
    with pytest.raises(ArchiveBroken) as caught:
        await full.read()
    assert (caught.value.name, caught.value.missing) == (FILES[1][1], True)


async def test_what_stands_before_the_damage_is_given_out(full: Shelf) -> None:
    await rewritten(full, flip(FILES[2][0], -1))
    found: list[int] = []

    async def read() -> None:
        async for each in archived(full.store, AuditRecord):
            found.append(each.offset)

    with pytest.raises(ArchiveBroken):
        await read()
    assert found == list(range(20))


async def test_a_file_whose_manifest_was_made_to_fit_is_not_what_the_chain_says(full: Shelf) -> None:
    def forge(objects: dict[str, bytes]) -> None:
        # The second file's records under the first one's name, with hashes that fit.
        content = objects[FILES[1][0]]
        objects[FILES[0][0]] = content
        edited(FILES[0][1], sha256=digest(content), size=len(content))(objects)

    await rewritten(full, forge)
    with pytest.raises(ArchiveBroken) as caught:
        await full.read()
    assert caught.value.name == FILES[0][1]


async def test_what_is_no_archives_is_named(full: Shelf) -> None:
    await full.store.create(f"v1/topic={TOPIC}/partition=0/notes.txt", b"")
    with pytest.raises(ArchiveBroken, match=r"notes\.txt"):
        await full.read()
