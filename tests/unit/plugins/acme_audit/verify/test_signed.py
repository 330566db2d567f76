"""Tampering with checkpoints, on a real database."""

from __future__ import annotations

from datetime import timedelta

import pytest
from acme_audit import notes
from acme_audit.canonical import FIRST
from acme_audit.notes import Checkpoint
from acme_audit.tree import Frontier, leaf_hash
from acme_audit.verify.report import Report, Status
from acme_audit.verify.signed import NEVER, Root, Roots
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.audits import LOG, Rig, found


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ("note = replace(note, E'\\n250\\n', E'\\n249\\n')", "signatures"),
        ("note = replace(note, 'number 2', 'number 3')", "signatures"),
        ("note = note || 'x'", "signatures"),
        ("note = ''", "signatures"),
        ("size = size - 1", "signatures"),
        ("signed_at = signed_at + interval '1 second'", "signatures"),
    ],
)
async def test_an_altered_checkpoint_is_found(sound: Rig, change: str, kind: str) -> None:
    await sound.alter("checkpoints", change, "number = 2")
    report = await sound.verify()
    assert report.status is Status.TAMPERED
    assert found(report)[kind] is None
    assert "number 2" in report.faults[0].text


async def test_checkpoints_that_changed_places_are_found(sound: Rig) -> None:
    for old, new in ((1, -1), (2, 1), (-1, 2)):
        await sound.alter("checkpoints", f"number = {new}", f"number = {old}")
    report = await sound.verify()
    assert (report.status, "signatures" in found(report)) == (Status.TAMPERED, True)


async def test_a_checkpoint_that_is_missing_is_found(sound: Rig) -> None:
    await sound.delete("checkpoints", "number = 2")
    report = await sound.verify(offline=True)
    assert report.status is Status.INCOMPLETE
    assert "checkpoints" in found(report)


async def test_the_last_checkpoint_that_is_missing_is_found(sound: Rig) -> None:
    await sound.delete("checkpoints", "number = 3")
    report = await sound.verify(offline=True)
    assert (report.status, "signatures" in found(report)) == (Status.TAMPERED, True)


async def test_a_checkpoint_by_another_key_is_found(sound: Rig) -> None:
    head = await sound.head()
    last = await sound.signed.one(head.id, 2)
    assert last is not None
    said, second = notes.read(last.note), Ed25519PrivateKey.generate()
    note = Checkpoint(said.log, said.number, said.size, said.root, said.signed_at, said.previous).sign(second)
    await sound.alter("checkpoints", f"note = '{note}'", "number = 2")
    report = await sound.verify()
    assert (report.status, "signatures" in found(report)) == (Status.TAMPERED, True)


async def test_a_log_that_was_rewritten_from_some_record_on_is_not_what_was_signed(sound: Rig) -> None:
    """Bytes, chain, tree and head fit together again; what was signed does not, and says from where."""
    records = await sound.contents()
    await sound.delete("records")
    await sound.delete("nodes")
    await sound.alter("logs", "size = 0, head = decode(repeat('00', 32), 'hex'), frontier = ''")
    for content in records:
        if content.sequence == 120:
            content.record.action = "forged"
    for start in range(0, 300, 200):
        await sound.ingest(*(content.record for content in records[start : start + 200]))
    report = await sound.verify()
    assert report.status is Status.TAMPERED
    assert not {"bytes", "chain", "columns", "gap", "node", "head"} & set(found(report))
    assert found(report)["checkpoint"] is not None


async def test_a_checkpoint_of_more_than_there_is_tells_of_a_cut_tail(sound: Rig) -> None:
    records = await sound.contents()
    await sound.delete("records", "sequence >= 250")
    await sound.delete("nodes", "index >= 250 >> level")
    tree = Frontier()
    for content in records[:250]:
        tree.append(leaf_hash(content.canonical))
    head = leaf_hash(records[249].canonical)
    await sound.alter("logs", f"size = 250, head = '\\x{head.hex()}', frontier = '\\x{tree.pack().hex()}'")
    report = await sound.verify(offline=True)
    assert (report.status, set(found(report))) == (Status.TAMPERED, {"signatures", "anchor"})
    assert "300 records" in report.faults[0].text


def test_roots_are_compared_at_their_sizes_and_tell_what_was_good_last(rig: Rig) -> None:
    leaves = [leaf_hash(b"%d" % number) for number in range(8)]
    tree, report, expected = Frontier(), Report(), []
    for size, leaf in enumerate(leaves, 1):
        tree.append(leaf)
        expected.append(Root(size, tree.root() if size < 6 else FIRST, f"checkpoint {size}"))

    class Named:
        name = LOG

    roots = Roots(Named(), report, expected[::2], start=0)  # type: ignore[arg-type]  # all that it asks of a head
    again = Frontier()
    for leaf in leaves:
        again.append(leaf)
        roots.reached(again)
    assert roots.next == NEVER
    assert (found(report), report.faults[0].count) == ({"checkpoint": 5}, 1)


async def test_checkpoints_are_read_as_of_the_beginning(sound: Rig) -> None:
    """What is signed while a log is verified is no fault of it."""
    head = await sound.head()
    await sound.grow(5)
    sound.clock.advance(timedelta(minutes=1))
    await sound.sign()
    report = await sound.verify_as_of(head)
    assert (report.faults, report.records) == ([], 300)
