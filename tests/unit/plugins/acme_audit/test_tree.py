"""Merkle trees, with the vectors of the certificate-transparency reference implementation (merkle_tree_test.cc)."""

from __future__ import annotations

import hashlib

import pytest
from acme_audit import tree
from acme_audit.tree import EMPTY, Frontier, Node, Span, consistent, included, leaf_hash, node_hash
from hypothesis import given
from hypothesis import strategies as st

LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
"""Of the trees of 0 to 8 of these leaves."""
A = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
B = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
C = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"
D = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
E = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
F = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"


def root(leaves: list[bytes]) -> bytes:
    """By the definition: recursion over the largest power of two."""
    if len(leaves) < 2:
        return leaf_hash(leaves[0]) if leaves else EMPTY
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return node_hash(root(leaves[:half]), root(leaves[half:]))


def hashes(spans: list[Span], leaves: list[bytes]) -> list[bytes]:
    def hash_of(node: Node) -> bytes:
        return root(leaves[node.at << node.level : (node.at + 1) << node.level])

    return [tree.span_hash(span, hash_of) for span in spans]


@pytest.mark.parametrize("size", range(9))
def test_the_root_is_the_one_of_the_reference_implementation(size: int) -> None:
    frontier = Frontier()
    for leaf in LEAVES[:size]:
        frontier.append(leaf_hash(leaf))
    assert frontier.root().hex() == ROOTS[size] == root(LEAVES[:size]).hex()


@pytest.mark.parametrize(
    ("index", "size", "proof"),
    [(0, 1, []), (0, 8, [A, B, C]), (5, 8, [D, E, ROOTS[4]]), (2, 3, [ROOTS[2]]), (1, 5, [ROOTS[1], B, D])],
)
def test_an_inclusion_proof_is_the_one_of_the_reference_implementation(index: int, size: int, proof: list[str]) -> None:
    assert [each.hex() for each in hashes(tree.inclusion(index, size), LEAVES)] == proof


@pytest.mark.parametrize(
    ("first", "second", "proof"),
    [(1, 1, []), (1, 8, [A, B, C]), (6, 8, [F, E, ROOTS[4]]), (2, 5, [B, D])],
)
def test_a_consistency_proof_is_the_one_of_the_reference_implementation(
    first: int, second: int, proof: list[str]
) -> None:
    assert [each.hex() for each in hashes(tree.consistency(first, second), LEAVES)] == proof


SIZES = st.integers(1, 200).flatmap(lambda size: st.tuples(st.integers(0, size - 1), st.just(size)))


@given(SIZES)
def test_every_leaf_is_proved_in_every_tree_and_nothing_else_is(sizes: tuple[int, int]) -> None:
    index, size = sizes
    leaves = [b"%d" % number for number in range(size)]
    proof, whole = hashes(tree.inclusion(index, size), leaves), root(leaves)
    assert included(leaf_hash(leaves[index]), index, size, proof, whole)
    assert not included(leaf_hash(b"other"), index, size, proof, whole)
    assert not included(leaf_hash(leaves[index]), index, size, proof, leaf_hash(b"other"))
    assert not included(leaf_hash(leaves[index]), index, size, [*proof, whole], whole)
    assert not any(included(leaf_hash(leaves[index]), index, size, proof[:each], whole) for each in range(len(proof)))
    assert len(proof) <= size.bit_length()


@given(SIZES)
def test_every_tree_is_proved_to_begin_every_later_one_and_no_other_does(sizes: tuple[int, int]) -> None:
    first, second = sizes[0] + 1, sizes[1]
    leaves = [b"%d" % number for number in range(second)]
    proof = hashes(tree.consistency(first, second), leaves)
    before, after = root(leaves[:first]), root(leaves)
    assert consistent(first, second, proof, before, after)
    other = root([b"other", *leaves[1:first]])
    assert not consistent(first, second, proof, other, after)
    assert not consistent(first, second, [*proof, other], before, after)
    assert not any(consistent(first, second, proof[:each], before, after) for each in range(len(proof)))
    assert len(proof) <= second.bit_length() + 1


@given(st.integers(0, 300))
def test_a_frontier_goes_on_where_it_was_packed_and_tells_every_node_once(size: int) -> None:
    leaves = [b"%d" % number for number in range(size + 1)]
    frontier, completed = Frontier(), {}
    for leaf in leaves[:size]:
        for node, found in frontier.append(leaf_hash(leaf)):
            assert node not in completed
            completed[node] = found
    assert set(completed) == {Node(level, at) for level in range(1, 9) for at in range(size >> level)}
    assert all(found == root(leaves[n.at << n.level : (n.at + 1) << n.level]) for n, found in completed.items())
    again = Frontier.unpack(size, frontier.pack())
    again.append(leaf_hash(leaves[size]))
    assert again.root() == root(leaves)


@pytest.mark.parametrize(("size", "packed"), [(1, b""), (3, bytes(32)), (2, bytes(64))])
def test_a_frontier_of_another_size_is_refused(size: int, packed: bytes) -> None:
    with pytest.raises(ValueError, match="complete subtrees"):
        Frontier.unpack(size, packed)


@pytest.mark.parametrize(("index", "size"), [(1, 1), (-1, 1), (0, 0)])
def test_what_is_not_in_the_tree_has_no_proof(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="no leaf"):
        tree.inclusion(index, size)
    assert not included(leaf_hash(b""), index, size, [], leaf_hash(b""))


@pytest.mark.parametrize(("first", "second"), [(0, 1), (2, 1), (0, 0)])
def test_no_tree_begins_a_smaller_one(first: int, second: int) -> None:
    with pytest.raises(ValueError, match="no beginning"):
        tree.consistency(first, second)
    assert not consistent(first, second, [], EMPTY, EMPTY)


def test_the_tree_of_nothing_has_the_hash_of_nothing() -> None:
    assert hashlib.sha256().digest() == EMPTY == Frontier().root()
