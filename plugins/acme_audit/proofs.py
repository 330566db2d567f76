"""Proofs and roots from what is kept of a tree: leaf hashes, and nodes of every fourth level.

What a proof needs is known from sizes alone, so that it takes two statements: one for leaves, one for nodes; in a log of n
records about 4·log2(n) hashes in all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from acme_audit.ledger import STRIDE
from acme_audit.store import LogStore, RecordStore
from acme_audit.tree import Frontier, Node, Span, consistency, inclusion, node_hash, nodes, span_hash


class Incomplete(Exception):
    """A hash that is needed is not kept: the log was tampered with. `args[0]` is its node."""


class Proofs:
    """Proves things about logs."""

    def __init__(self, logs: LogStore, records: RecordStore) -> None:
        self._logs, self._records = logs, records

    async def hashes(self, log_id: int, spans: Sequence[Span]) -> list[bytes]:
        """The hashes over spans of a proof.

        Raises:
            Incomplete: see there.
        """
        kept = list(dict.fromkeys(part for span in spans for node in nodes(span) for part in _kept(node)))
        found = await self._logs.nodes(log_id, [node for node in kept if node.level])
        leaves = await self._records.leaves(log_id, [node.at for node in kept if not node.level])
        found |= {Node(0, index): leaf for index, leaf in leaves.items()}

        def hash_of(node: Node) -> bytes:
            if node.level % STRIDE:
                return node_hash(
                    hash_of(Node(node.level - 1, node.at * 2)), hash_of(Node(node.level - 1, node.at * 2 + 1))
                )
            if node not in found:
                raise Incomplete(node)
            return found[node]

        return [span_hash(span, hash_of) for span in spans]

    async def root(self, log_id: int, size: int) -> bytes:
        """The root of a log's first `size` records. Raises `Incomplete`."""
        return (await self.hashes(log_id, [Span(0, size)]))[0]

    async def frontier(self, log_id: int, size: int) -> Frontier:
        """The tree of a log's first `size` records, to be continued. Raises `Incomplete`."""
        return Frontier(size, await self.hashes(log_id, [_span(node) for node in nodes(Span(0, size))]))

    async def inclusion(self, log_id: int, sequence: int, size: int) -> list[bytes]:
        """The proof that record `sequence` is in the tree of `size` records. Raises `Incomplete`, `ValueError`."""
        return await self.hashes(log_id, inclusion(sequence, size))

    async def consistency(self, log_id: int, first: int, second: int) -> list[bytes]:
        """The proof that the tree of `first` records is the beginning of the one of `second`. Raises `Incomplete`,
        `ValueError`."""
        return await self.hashes(log_id, consistency(first, second))


def _kept(node: Node) -> Iterator[Node]:
    """What is kept of a node: itself, or those below it that are."""
    down = node.level % STRIDE
    return (Node(node.level - down, (node.at << down) + each) for each in range(1 << down))


def _span(node: Node) -> Span:
    return Span(node.at << node.level, (node.at + 1) << node.level)


def kept_nodes(completed: Iterable[tuple[Node, bytes]]) -> dict[Node, bytes]:
    """Those of completed nodes that are kept."""
    return {node: found for node, found in completed if node.level % STRIDE == 0}
