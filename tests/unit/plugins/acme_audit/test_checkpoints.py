"""Signing, and what is written to the object store."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from acme_audit import notes
from acme_audit.checkpoints import Contradiction, object_name

from tests.audits import LOG, OTHER, REGION, Rig


async def signed(rig: Rig, log: str = LOG) -> list[tuple[int, int]]:
    """(number, size) of a log's checkpoints."""
    head = await rig.head(log)
    return [(each.number, each.size) for each in await rig.signed.scan(head.id, after=0, limit=1000)]


async def test_a_log_is_signed_when_it_has_grown_and_every_hour(rig: Rig) -> None:
    await rig.grow(5)
    await rig.sign()
    await rig.sign()
    assert await signed(rig) == [(1, 5)]
    await rig.grow(1)
    await rig.sign()
    assert await signed(rig) == [(1, 5), (2, 6)]
    rig.clock.advance(timedelta(minutes=59))
    await rig.sign()
    assert len(await signed(rig)) == 2
    rig.clock.advance(timedelta(minutes=1))
    await rig.sign()
    assert await signed(rig) == [(1, 5), (2, 6), (3, 6)]


async def test_many_who_sign_at_once_make_one_checkpoint(rig: Rig) -> None:
    await rig.grow(5)
    await rig.grow(5, organization_id=OTHER)
    await asyncio.gather(*(rig.sign() for _ in range(4)))
    assert await signed(rig) == [(1, 5)]
    assert len(await rig.checkpoints.public_keys()) == 1


async def test_every_checkpoint_is_signed_and_names_the_one_before(rig: Rig) -> None:
    for _ in range(3):
        await rig.grow(7)
        await rig.sign()
    found = [each.note for each in await rig.signed.scan((await rig.head()).id, after=0, limit=9)]
    keys = await rig.checkpoints.public_keys()
    assert all(notes.signed_by(note, *keys) for note in found)
    assert [notes.read(note).previous for note in found] == [bytes(32), *map(notes.digest, found[:-1])]


async def test_checkpoints_are_in_the_object_store_under_their_numbers(rig: Rig) -> None:
    await rig.grow(2)
    await rig.grow(2, organization_id=OTHER)
    await rig.sign()
    await rig.grow(2)
    await rig.sign()
    names = [facts.name async for facts in rig.objects.list()]
    assert names == [object_name(LOG, 1), object_name(LOG, 2), object_name(f"{REGION}/{OTHER}", 1)]
    note = await rig.signed.one((await rig.head()).id, 2)
    assert note is not None
    assert await rig.objects.get(names[1]) == note.note.encode()


async def test_what_could_not_be_written_is_written_later(rig: Rig) -> None:
    for _ in range(3):
        await rig.grow(1)
        await rig.sign_only()
    assert [facts.name async for facts in rig.objects.list()] == []
    await rig.sign()
    assert len([facts async for facts in rig.objects.list()]) == 3
    await rig.alter("logs", "archived = 0")  # it had been written, and not noted
    assert await rig.sign() == []


async def test_another_checkpoint_of_the_same_number_is_told_and_stays(rig: Rig) -> None:
    await rig.objects.create(object_name(LOG, 1), b"another")
    await rig.grow(1)
    assert await rig.sign() == [f"{LOG}: the object store has another checkpoint 1"]
    assert await rig.objects.get(object_name(LOG, 1)) == b"another"


@pytest.mark.parametrize(
    ("table", "column", "where"),
    [("nodes", "hash", "level = 4"), ("logs", "frontier", "true"), ("records", "leaf", "sequence = 20")],
)
async def test_what_does_not_follow_from_the_last_checkpoint_is_not_signed(
    rig: Rig, table: str, column: str, where: str
) -> None:
    await rig.grow(21)
    await rig.sign()
    await rig.flip(table, column, where)
    await rig.grow(1)
    assert await rig.sign() == [f"{LOG}: its 22 records do not begin with those of checkpoint 1"]
    assert await signed(rig) == [(1, 21)]


async def test_a_log_that_has_shrunk_is_not_signed(rig: Rig) -> None:
    await rig.grow(4)
    await rig.sign()
    await rig.alter("logs", "size = 2, frontier = substr(frontier, 1, 32)")
    with rig.units.outside(), pytest.raises(Contradiction, match="4 records"):
        await rig.checkpoints.sign((await rig.head()).id)


async def test_one_log_that_cannot_be_signed_keeps_no_other_from_it(rig: Rig) -> None:
    await rig.grow(21)
    await rig.grow(3, organization_id=OTHER)
    await rig.sign()
    await rig.flip("logs", "frontier", "true")
    await rig.grow(1)
    await rig.grow(1, organization_id=OTHER)
    assert len(await rig.sign()) == 1
    assert len(await signed(rig, f"{REGION}/{OTHER}")) == 2
