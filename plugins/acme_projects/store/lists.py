"""Lists of projects, and searches.

A list is made of two parts that have nothing in common: for each organisation all of whose projects the caller reaches, a
walk of an index in the order that is wanted, which ends after a page; and the projects it reaches by memberships of their
own, which are few. Nobody pays for projects it may not see.

A search looks at CANDIDATES projects of an organisation at most, whatever was asked for: first at those with all the words
in the name, then at names that are alike, then at those with all the words in name and description; and only if there is
none of these, at texts that are alike. Each of these is one look into the index `projects_search`, and none is begun when
those before it found enough. Then the candidates are sorted by how well they match. What it reads is
bounded by the candidates and by the index, not by the projects: tests/system/test_search_cost.py keeps it so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias

from acme import Scope, Statements, filters
from acme.contracts.projects.v1 import Project
from acme_projects.store.access import WIDTH, bound, reached
from acme_projects.store.conditions import Parameters, beyond, condition, order_by, order_of, position
from acme_projects.store.projects import COLUMNS, NAMES, project_of

CANDIDATES: Final = 200
"""Projects of one organisation that a search ranks at most."""
ALIKE: Final = 0.5
"""Word similarity (pg_trgm) from which on something is alike: half of the trigrams are the same."""
WORDS: Final = 8
"""Words of a query that have to be there; of more, the longest."""
FORGIVING: Final = 4
"""Characters of a query from which on mistakes are forgiven: of three letters, one is too much."""
_SHORTEST: Final = 3
"""Characters of a word that the index knows: trigrams."""

# The f-strings below hold constants of this package and placeholders, hence the noqa marks.
_TEXT: Final = "(p.name || E'\\n' || p.description)"
"""As in the index `projects_search`."""
_SCORE: Final = """
(1000 * (0.6 * word_similarity(s.query, p.name) + 0.25 * similarity(s.query, p.name)
         + 0.15 * word_similarity(s.query, p.description)))::int AS score
"""
"""The name counts more than the description, and the whole name more than a part of it."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which projects of those that the caller may see, and in which order."""

    query: str = ""
    """Words to look for; "" for a list."""
    where: filters.Filter | None = None
    order: tuple[filters.Order, ...] = ()
    """Empty: the newest first, or the best match first."""
    deleted: bool = False
    """True: deleted ones too."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One project of a list."""

    project: Project
    position: list[Any]
    """Its place in the order, as JSON: what `after` takes."""


class ListStore:
    """The table `projects`, many rows at a time."""

    def __init__(self, database: Statements) -> None:
        self._database = database

    async def list(
        self, wanted: Wanted, *, read: Scope, deleted: Scope, at: datetime, after: Sequence[Any] | None, limit: int
    ) -> list[Listed]:
        """Up to `limit` projects after a position: those in the scope `read`, and deleted ones in the scope `deleted`."""
        order = order_of(wanted.order, searching=bool(wanted.query))
        parameters = Parameters(*bound(read))
        parts = ["p.deleted_at IS NULL"]
        if wanted.deleted:
            parameters.values += bound(deleted)
            parts.append(f"p.deleted_at IS NOT NULL AND p.purge_at > {parameters.add(at)}")
        where = "true" if wanted.where is None else condition(wanted.where, parameters)
        most, head, rest = parameters.add(limit), "", ""
        if wanted.query:
            branch, head = _found(wanted.query, parameters)
            if after is not None:
                rest = "WHERE " + beyond(order, after, parameters, "listed.")
        else:
            if after is not None:
                where += " AND " + beyond(order, after, parameters, "p.")
            branch = _walked(order, most)
        branches = [branch(1 + WIDTH * index, f"{part} AND {where}") for index, part in enumerate(parts)]
        rows = await self._database.fetch(
            f"{head} SELECT listed.* FROM ({' UNION ALL '.join(branches)}) AS listed {rest}"  # noqa: S608
            f" ORDER BY {order_by(order, 'listed.')} LIMIT {most}",
            *parameters.values,
        )
        names = (*COLUMNS, "score")
        return [Listed(project_of(row), position(order, dict(zip(names, row, strict=True)))) for row in rows]


Branch: TypeAlias = Callable[[int, str], str]
"""(number of the first parameter of a scope, condition on a project `p`) → SELECT of the projects in both."""


def _walked(order: Sequence[filters.Order], most: str) -> Branch:
    page = f"ORDER BY {order_by(order, 'p.')} LIMIT {most}"

    def branch(first: int, where: str) -> str:
        return f"""
            SELECT found.* FROM unnest(${first}::text[]) AS o(id) CROSS JOIN LATERAL (
                SELECT {NAMES}, 0 AS score FROM projects AS p WHERE p.organization_id = o.id AND {where} {page}
            ) AS found
            UNION ALL
            (SELECT {NAMES}, 0 AS score FROM projects AS p WHERE p.id = ANY({reached(first)}) AND {where} {page})
        """  # noqa: S608

    return branch


def _found(query: str, parameters: Parameters) -> tuple[Branch, str]:
    """The part of a statement that searches, and what has to stand before it.

    The planner does not know the words, so that its plan is the same for all of them; and OFFSET 0 keeps it from counting on
    LIMIT, which would let it hope for an early end of some other walk.
    """
    patterns = [f"%{_escaped(word)}%" for word in _words(query)]
    head = f"""
        WITH search AS MATERIALIZED (
            SELECT {parameters.add(query)}::text AS query, {parameters.add(patterns)}::text[] AS patterns,
                   set_config('pg_trgm.word_similarity_threshold', '{ALIKE}', true)
        )
    """
    each = range(1, len(patterns) + 1)
    named = "(" + " AND ".join(f"p.name ILIKE s.patterns[{number}]" for number in each) + ")"
    told = "(" + " AND ".join(f"{_TEXT} ILIKE s.patterns[{number}]" for number in each) + ")"
    forgiving = len(query) >= FORGIVING
    like_name, like_text = ("p.name %> s.query", f"{_TEXT} %> s.query") if forgiving else ("false", "false")
    tiers = (
        named,
        f"{like_name} AND NOT {named}",
        f"{told} AND NOT {named} AND NOT ({like_name})",
        like_text,
    )

    def branch(first: int, where: str) -> str:
        looks = [
            f"""
            (SELECT {NAMES}, {_SCORE} FROM projects AS p
             WHERE (p.organization_id || '') = o.id AND {tier} AND {where} OFFSET 0)
            """  # noqa: S608
            for tier in tiers
        ]
        return f"""
            SELECT found.* FROM unnest(${first}::text[]) AS o(id) CROSS JOIN LATERAL (
                WITH near AS MATERIALIZED (
                    SELECT looks.* FROM search AS s CROSS JOIN LATERAL ({" UNION ALL ".join(looks[:-1])}) AS looks
                    LIMIT {CANDIDATES}
                )
                SELECT * FROM near
                UNION ALL
                (SELECT look.* FROM search AS s CROSS JOIN LATERAL {looks[-1]} AS look
                 WHERE NOT EXISTS (SELECT FROM near) LIMIT {CANDIDATES})
            ) AS found
            UNION ALL
            (SELECT {NAMES}, {_SCORE} FROM search AS s CROSS JOIN projects AS p
             WHERE p.id = ANY({reached(first)}) AND ({told} OR {like_name} OR {like_text}) AND {where})
        """  # noqa: S608

    return branch, head


def _words(query: str) -> list[str]:
    words = sorted({word for word in query.lower().split() if len(word) >= _SHORTEST}, key=len, reverse=True)
    return words[:WORDS] or [query]


def _escaped(word: str) -> str:
    return word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
