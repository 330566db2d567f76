"""Appending: numbers, chain and tree, on a real database."""

from __future__ import annotations

import asyncio

from acme_audit import canonical
from acme_audit.canonical import FIRST
from acme_audit.proofs import Proofs
from acme_audit.store import RecordStore, Wanted
from acme_audit.tree import Frontier, included, leaf_hash

from acme.contracts.audit.v1 import AuditRecord
from tests.audits import LOG, OTHER, REGION, Rig


async def stored(rig: Rig, log: str = LOG) -> list[bytes]:
    """The canonical bytes of a log."""
    head = await rig.head(log)
    return [row["canonical"] for row in await RecordStore(rig.database).scan(head.id, 0, head.size, limit=10_000)]


async def test_records_get_dense_numbers_a_chain_and_a_tree(rig: Rig) -> None:
    for size in (1, 3, 40, 200):
        await rig.grow(size)
    contents = await stored(rig)
    read = [canonical.read(content) for content in contents]
    leaves = [leaf_hash(content) for content in contents]
    assert [each.sequence for each in read] == list(range(244))
    assert [each.previous for each in read] == [each.hex() for each in [FIRST, *leaves[:-1]]]
    tree = Frontier()
    for leaf in leaves:
        tree.append(leaf)
    head = await rig.head()
    assert (head.size, head.head, head.frontier) == (244, leaves[-1], tree.pack())
    proofs = Proofs(rig.logs, RecordStore(rig.database))
    assert await proofs.root(head.id, 244) == tree.root()
    for sequence in (0, 15, 16, 100, 243):
        assert included(leaves[sequence], sequence, 244, await proofs.inclusion(head.id, sequence, 244), tree.root())


async def test_every_organisation_and_the_platform_itself_have_a_log_of_their_own(rig: Rig) -> None:
    await rig.ingest(
        rig.record(), rig.record(organization_id=OTHER), rig.record(organization_id=""), rig.record(), rig.record()
    )
    sizes = {head.name: head.size for head in await rig.logs.heads()}
    assert sizes == {LOG: 3, f"{REGION}/{OTHER}": 1, f"{REGION}/platform": 1}


async def test_a_record_that_comes_again_is_kept_once(rig: Rig) -> None:
    first, second = rig.record(), rig.record()
    await rig.ingest(first, first)
    await rig.ingest(second, first)
    await rig.ingest(second)
    assert [canonical.read(content).id for content in await stored(rig)] == [first.id, second.id]


async def test_batches_at_the_same_time_share_the_logs_without_gaps(rig: Rig) -> None:
    async def one(turn: int) -> None:
        for _ in range(5):
            pair = [rig.record(), rig.record(organization_id=OTHER)]
            await rig.ingest(*(pair if turn % 2 else reversed(pair)))

    await asyncio.gather(*(one(turn) for turn in range(4)))
    for log in (LOG, f"{REGION}/{OTHER}"):
        read = [canonical.read(content) for content in await stored(rig, log)]
        assert [each.sequence for each in read] == list(range(20))


async def test_the_address_is_kept_as_ciphertext_of_its_subject(rig: Rig) -> None:
    same = [rig.record(), rig.record(), rig.record(subject_id="", address="198.51.100.7"), rig.record(address="")]
    await rig.ingest(*same)
    contents = await stored(rig)
    assert not [content for content in contents if b"192.0.2.1" in content or b"198.51.100" in content]
    kept = [canonical.read(content).address for content in contents]
    assert [bool(address) for address in kept] == [True, True, True, False]
    assert len(set(kept[:3])) == 3  # bound to their records


async def test_a_record_without_anything_but_an_id_is_kept(rig: Rig) -> None:
    await rig.ingest(AuditRecord(id="aud_1"))
    kept = canonical.read((await stored(rig, f"{REGION}/platform"))[0])
    assert (kept.id, kept.sequence, kept.actor.id) == ("aud_1", 0, "")


async def test_text_that_no_column_holds_is_kept_in_the_bytes(rig: Rig) -> None:
    long, nul = "x" * 5000, "a\0b"
    await rig.ingest(rig.record(action=long, changes=[nul]), rig.record(action=nul))
    kept = [canonical.read(content) for content in await stored(rig)]
    assert (kept[0].action, kept[0].changes, kept[1].action) == (long, (nul,), nul)
    head = await rig.head()
    assert len(await RecordStore(rig.database).newest(head.id, Wanted(action="ab"), limit=9)) == 1
