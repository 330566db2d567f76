"""Tampering with records, on a real database: each is found, and its first place named."""

from __future__ import annotations

import pytest
from acme_audit import canonical
from acme_audit.store import RecordStore
from acme_audit.tree import leaf_hash
from acme_audit.verify.report import Status

from tests.audits import LOG, OTHER, REGION, Rig, found


async def test_a_log_in_order_is_found_to_be(sound: Rig) -> None:
    report = await sound.verify()
    assert (report.status, report.faults) == (Status.OK, [])
    assert (report.logs, report.records, report.checkpoints, report.archived) == (2, 309, 6, 6)


@pytest.mark.parametrize("sequence", [0, 17, 255, 299])
async def test_a_flipped_bit_is_found(sound: Rig, sequence: int) -> None:
    await sound.flip("records", "canonical", f"sequence = {sequence}", bit=200)
    report = await sound.verify()
    assert report.status is Status.TAMPERED
    assert found(report)["bytes"] == sequence


@pytest.mark.parametrize("column", ["canonical", "leaf"])
async def test_a_flipped_bit_is_found_in_whatever_column_it_is(sound: Rig, column: str) -> None:
    await sound.flip("records", column, "sequence = 42")
    assert found(await sound.verify())["bytes"] == 42


@pytest.mark.parametrize(
    "change",
    [
        "actor_id = 'usr_other'",
        "action = 'other'",
        "outcome = 3",
        "targets = '{}'",
        "id = 'aud_other'",
        "occurred_at = occurred_at + interval '1 microsecond'",
    ],
)
async def test_a_column_that_says_something_else_is_found(sound: Rig, change: str) -> None:
    await sound.alter("records", change, "sequence = 42")
    report = await sound.verify()
    assert (report.status, found(report)) == (Status.TAMPERED, {"columns": 42})


@pytest.mark.parametrize(("first", "last"), [(42, 42), (0, 0), (299, 299), (42, 60), (0, 20), (260, 299)])
async def test_deleted_records_are_found(sound: Rig, first: int, last: int) -> None:
    await sound.delete("records", f"sequence BETWEEN {first} AND {last}")
    report = await sound.verify()
    assert report.status is Status.INCOMPLETE
    assert found(report)["gap"] == first


async def test_a_deleted_record_keeps_no_other_change_hidden(sound: Rig) -> None:
    await sound.delete("records", "sequence BETWEEN 42 AND 44")
    await sound.flip("records", "canonical", "sequence = 50")
    report = await sound.verify()
    assert report.status is Status.TAMPERED
    assert (found(report)["gap"], found(report)["bytes"]) == (42, 50)


async def test_two_swapped_records_are_found(sound: Rig) -> None:
    for old, new in ((42, -1), (77, 42), (-1, 77)):
        await sound.alter("records", f"sequence = {new}", f"sequence = {old}")
    report = await sound.verify()
    assert report.status is Status.TAMPERED
    assert (found(report)["columns"], found(report)["chain"]) == (42, 42)


async def test_a_record_that_is_moved_into_another_log_is_found(sound: Rig) -> None:
    other = f"{REGION}/{OTHER}"
    await sound.delete("records", "sequence = 1", log=other)
    await sound.alter("records", f"log_id = {(await sound.head(other)).id}", "sequence = 1")
    report = await sound.verify()
    places = {(fault.log, fault.kind, fault.sequence) for fault in report.faults}
    assert {(other, "columns", 1), (other, "chain", 1), (LOG, "gap", 1)} <= places


async def test_a_record_that_was_rewritten_with_its_hash_breaks_the_chain(sound: Rig) -> None:
    head = await sound.head()
    (row,) = await RecordStore(sound.database).scan(head.id, 42, 43, limit=1)
    content = row["canonical"].replace(b"gateway", b"gatewax")
    assert canonical.read(content).sequence == 42
    await sound.alter(
        "records", f"canonical = '\\x{content.hex()}', leaf = '\\x{leaf_hash(content).hex()}'", "sequence = 42"
    )
    report = await sound.verify()
    assert report.status is Status.TAMPERED
    assert (found(report)["chain"], found(report)["node"], found(report)["checkpoint"]) == (43, 32, 0)


async def test_a_hash_of_the_tree_that_was_changed_or_deleted_is_found(sound: Rig) -> None:
    await sound.flip("nodes", "hash", "level = 4 AND index = 3")
    report = await sound.verify()
    assert (report.status, found(report)) == (Status.TAMPERED, {"node": 48})
    await sound.delete("nodes", "level = 4 AND index = 3")
    report = await sound.verify()
    assert (report.status, found(report)) == (Status.INCOMPLETE, {"node": 48})


@pytest.mark.parametrize(
    "change",
    [
        "head = decode(repeat('00', 32), 'hex')",
        "frontier = frontier || frontier",
        "frontier = set_bit(frontier, 0, 1 - get_bit(frontier, 0))",
    ],
)
async def test_a_head_that_was_changed_is_found(sound: Rig, change: str) -> None:
    await sound.alter("logs", change)
    report = await sound.verify()
    assert (report.status, set(found(report))) == (Status.TAMPERED, {"head"})


async def test_records_behind_the_end_are_found(sound: Rig) -> None:
    await sound.alter("records", "sequence = 1000", "sequence = 299")
    report = await sound.verify()
    assert (report.status, found(report)["beyond"]) == (Status.TAMPERED, 300)


async def test_records_of_no_log_are_found(sound: Rig) -> None:
    await sound.alter("records", "log_id = 99", "sequence = 299")
    report = await sound.verify()
    assert report.status is Status.TAMPERED
    assert "log" in found(report)


@pytest.mark.parametrize(
    ("start", "end", "kinds"),
    [
        (0, 41, set()),
        (42, 60, {"bytes", "columns", "content", "chain"}),
        (43, None, set()),  # what 42 was hashed to is not in question here
        (44, None, set()),
        (44, 60, set()),
    ],
)
async def test_a_part_of_a_log_is_verified_by_itself(sound: Rig, start: int, end: int | None, kinds: set[str]) -> None:
    await sound.flip("records", "canonical", "sequence = 42")
    report = await sound.verify(log=LOG, start=start, end=end)
    assert report.records == (300 if end is None else end + 1) - start
    assert set(found(report)) - {"node", "checkpoint", "head"} <= kinds
    assert bool(report.faults) == bool(kinds)
