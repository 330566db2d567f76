"""Heads of logs, and tables that refuse to be changed."""

from __future__ import annotations

import pytest
from acme_audit.store.logs import LONGEST, key
from acme_audit.tree import Node
from asyncpg import RaiseError

from acme import work
from tests.audits import LOG, OTHER, REGION, Rig


@pytest.mark.parametrize("table", ["records", "nodes", "checkpoints"])
@pytest.mark.parametrize("statement", ["DELETE FROM {}", "UPDATE {} SET log_id = 0", "TRUNCATE {}"])
async def test_the_tables_refuse_every_change(rig: Rig, table: str, statement: str) -> None:
    await rig.grow(20)
    await rig.sign()
    with pytest.raises(RaiseError, match="only grows"):
        await rig.database.execute(statement.format(table))
    assert (await rig.verify()).faults == []


async def test_heads_are_made_when_they_are_first_locked(rig: Rig) -> None:
    assert await rig.logs.head(LOG) is None
    other = f"{REGION}/{OTHER}"
    for _ in range(2):
        with rig.units.outside():
            async with work():
                heads = await rig.logs.lock([LOG, other])
        assert {name: head.size for name, head in heads.items()} == {LOG: 0, other: 0}
    assert [head.name for head in await rig.logs.heads()] == sorted([LOG, other])
    assert [head.name for head in await rig.logs.heads(after=LOG, limit=1)] == [other]


async def test_nodes_that_are_kept_are_found(rig: Rig) -> None:
    await rig.grow(40)
    head = await rig.head()
    assert set(await rig.logs.nodes(head.id, [Node(4, 0), Node(4, 1), Node(4, 2), Node(8, 0)])) == {
        Node(4, 0),
        Node(4, 1),
    }
    assert await rig.logs.nodes(head.id, []) == {}
    assert await rig.logs.levels(head.id) == {4: 1}


def test_what_records_are_found_by_fits_a_column() -> None:
    assert key("a\0b") == "ab"
    assert len(key("x" * 1000)) == LONGEST
