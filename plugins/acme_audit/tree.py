"""Merkle trees by RFC 6962, section 2.1: arithmetic alone.

A *node* is the root of a complete subtree: (level, at) stands for the leaves from at·2^level to before
(at + 1)·2^level. A tree of any size is a row of nodes of falling size, its *frontier*; appending needs no more than that.
Proofs name ranges of leaves, each of which is one node, or at the right edge a few.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

EMPTY: Final = hashlib.sha256(b"").digest()
"""The root of a tree without leaves."""
HASH: Final = 32
"""Bytes of a hash."""


class Node(NamedTuple):
    """Which complete subtree."""

    level: int
    at: int


class Span(NamedTuple):
    """The leaves from `start` to before `end`."""

    start: int
    end: int


def leaf_hash(content: bytes) -> bytes:
    """Hash of a leaf."""
    return hashlib.sha256(b"\0" + content).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of two subtrees, one beside the other."""
    return hashlib.sha256(b"\1" + left + right).digest()


class Frontier:
    """A tree that grows: its size, and the roots of its complete subtrees."""

    __slots__ = ("_roots", "size")

    def __init__(self, size: int = 0, roots: Sequence[bytes] = ()) -> None:
        if len(roots) != size.bit_count():
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} complete subtrees, not {len(roots)}")
        self.size = size
        self._roots = list(roots)

    @classmethod
    def unpack(cls, size: int, packed: bytes) -> Frontier:
        """What `pack` made.

        Raises:
            ValueError: it belongs to no tree of this size.
        """
        return cls(size, [packed[at : at + HASH] for at in range(0, len(packed), HASH)])

    def pack(self) -> bytes:
        """The roots, the largest subtree's first."""
        return b"".join(self._roots)

    def append(self, leaf: bytes) -> list[tuple[Node, bytes]]:
        """Adds a leaf hash; returns the nodes that it completes, above itself, the smallest first."""
        roots, index, level, completed = self._roots, self.size, 0, []
        while index & 1:
            leaf = node_hash(roots.pop(), leaf)
            index >>= 1
            level += 1
            completed.append((Node(level, index), leaf))
        roots.append(leaf)
        self.size += 1
        return completed

    def root(self) -> bytes:
        """The tree's hash."""
        return folded(self._roots)


def folded(roots: Sequence[bytes]) -> bytes:
    """The hash over complete subtrees of falling size that stand beside each other."""
    if not roots:
        return EMPTY
    found = roots[-1]
    for left in reversed(roots[:-1]):
        found = node_hash(left, found)
    return found


def nodes(span: Span) -> Iterator[Node]:
    """The complete subtrees that a span of a proof consists of, from the left. Its start is a multiple of the largest."""
    start = span.start
    while start < span.end:
        level = (span.end - start).bit_length() - 1
        yield Node(level, start >> level)
        start += 1 << level


def inclusion(index: int, size: int) -> list[Span]:
    """What proves that leaf `index` is in the tree of `size` leaves (section 2.1.1).

    Raises:
        ValueError: it is not.
    """
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has no leaf {index}")
    start, end, path = 0, size, []
    while end - start > 1:
        middle = start + _half(end - start)
        if index < middle:
            path.append(Span(middle, end))
            end = middle
        else:
            path.append(Span(start, middle))
            start = middle
    return path[::-1]


def consistency(first: int, second: int) -> list[Span]:
    """What proves that the tree of `first` leaves is the beginning of that of `second` (section 2.1.2).

    Raises:
        ValueError: it cannot be.
    """
    if not 0 < first <= second:
        raise ValueError(f"a tree of {first} leaves is no beginning of one of {second}")
    start, end, whole, path = 0, second, True, []
    while first < end:
        middle = start + _half(end - start)
        if first <= middle:
            path.append(Span(middle, end))
            end = middle
        else:
            path.append(Span(start, middle))
            start, whole = middle, False
    if not whole:
        path.append(Span(start, end))
    return path[::-1]


def _half(size: int) -> int:
    """The largest power of two below `size`, which is 2 or more."""
    return 1 << (size - 1).bit_length() - 1


def span_hash(span: Span, hash_of: Callable[[Node], bytes]) -> bytes:
    """The hash over a span of a proof."""
    return folded([hash_of(node) for node in nodes(span)])


def included(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether a proof shows that `leaf` is number `index` in the tree with this root (RFC 9162, section 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    left, right, found = index, size - 1, leaf
    for step in proof:
        if right == 0:
            return False
        if left & 1 or left == right:
            found = node_hash(step, found)
            while not left & 1 and left:
                left, right = left >> 1, right >> 1
        else:
            found = node_hash(found, step)
        left, right = left >> 1, right >> 1
    return right == 0 and found == root


def consistent(first: int, second: int, proof: Sequence[bytes], first_root: bytes, second_root: bytes) -> bool:
    """Whether a proof shows that one tree is the beginning of the other (RFC 9162, section 2.1.4.2)."""
    if not 0 < first <= second:
        return False
    if first == second:
        return not proof and first_root == second_root
    steps = list(proof) if first & (first - 1) else [first_root, *proof]
    if not steps:
        return False
    left, right = first - 1, second - 1
    while left & 1:
        left, right = left >> 1, right >> 1
    before = after = steps[0]
    for step in steps[1:]:
        if right == 0:
            return False
        if left & 1 or left == right:
            before, after = node_hash(step, before), node_hash(step, after)
            while not left & 1 and left:
                left, right = left >> 1, right >> 1
        else:
            after = node_hash(after, step)
        left, right = left >> 1, right >> 1
    return right == 0 and before == first_root and after == second_root
