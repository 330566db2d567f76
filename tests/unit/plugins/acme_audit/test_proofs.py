"""Proofs from what is kept of a tree."""

from __future__ import annotations

import random

import pytest
from acme_audit.ledger import STRIDE
from acme_audit.proofs import Incomplete, Proofs, kept_nodes
from acme_audit.store import RecordStore
from acme_audit.tree import EMPTY, Frontier, Node, consistent, included, leaf_hash

from tests.audits import Rig

SIZE = 530
"""Beyond two kept levels."""


async def test_every_proof_follows_from_what_is_kept(rig: Rig) -> None:
    await rig.grow(SIZE)
    head, proofs = await rig.head(), Proofs(rig.logs, RecordStore(rig.database))
    leaves = [leaf_hash(content.canonical) for content in await rig.contents()]
    tree, roots = Frontier(), [EMPTY]
    for leaf in leaves:
        tree.append(leaf)
        roots.append(tree.root())
    pick = random.Random(5)
    for size in (1, 2, 15, 16, 17, 255, 256, 257, 529, SIZE):
        assert await proofs.root(head.id, size) == roots[size]
        assert (await proofs.frontier(head.id, size)).root() == roots[size]
        index, first = pick.randrange(size), pick.randrange(size) + 1
        assert included(leaves[index], index, size, await proofs.inclusion(head.id, index, size), roots[size])
        proof = await proofs.consistency(head.id, first, size)
        assert consistent(first, size, proof, roots[first], roots[size])
    assert (await proofs.frontier(head.id, 0)).root() == EMPTY


async def test_a_proof_takes_few_hashes_from_a_large_log(rig: Rig) -> None:
    await rig.grow(SIZE)
    nodes = await rig.database.fetchval("SELECT count(*) FROM nodes")
    assert nodes == sum(SIZE >> level for level in range(STRIDE, 20, STRIDE))


async def test_a_hash_that_is_missing_is_told(rig: Rig) -> None:
    await rig.grow(40)
    await rig.delete("nodes", "level = 4 AND index = 1")
    proofs = Proofs(rig.logs, RecordStore(rig.database))
    with pytest.raises(Incomplete) as caught:
        await proofs.root((await rig.head()).id, 40)
    assert caught.value.args == (Node(4, 1),)


def test_every_fourth_level_is_kept() -> None:
    completed = [(Node(level, 0), bytes(32)) for level in range(1, 13)]
    assert [node.level for node in kept_nodes(completed)] == [4, 8, 12]
