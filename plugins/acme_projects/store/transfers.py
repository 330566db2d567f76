"""The table of offers of ownership."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from acme import Scope, Statements
from acme.contracts.projects.v1 import Project
from acme_projects.store.access import WIDTH, belongs, bound, within
from acme_projects.store.projects import COLUMNS, NAMES, project_of

_ALLOWED: Final = 4
_SEEN: Final = _ALLOWED + WIDTH
_OFFER: Final = _SEEN + WIDTH

# The f-strings below hold constants of this package only, hence the noqa marks.
_PUT: Final = """
INSERT INTO project_transfers (project_id, organization_id, owner_id, offered_by, user_id, expires_at)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (project_id) DO UPDATE
SET owner_id = excluded.owner_id, offered_by = excluded.offered_by, user_id = excluded.user_id,
    expires_at = excluded.expires_at
"""
_MAY_ANSWER: Final = f"((t.user_id IS NOT DISTINCT FROM $2 AND {belongs(_ALLOWED)}) OR {within(_ALLOWED)})"
_FIND: Final = f"""
SELECT {NAMES}, t.owner_id, t.offered_by, t.user_id, t.expires_at, {_MAY_ANSWER} AS allowed, {within(_OFFER)} AS may_offer
FROM projects AS p LEFT JOIN project_transfers AS t ON t.project_id = p.id AND t.expires_at > $3
WHERE p.id = $1 AND p.deleted_at IS NULL AND ({_MAY_ANSWER} OR {within(_SEEN)} OR {within(_OFFER)})
"""  # noqa: S608
_DROP: Final = "DELETE FROM project_transfers WHERE project_id = $1"
_DROP_ALL: Final = """
DELETE FROM project_transfers WHERE organization_id = $2 AND expires_at <= $3 AND $1 IN (owner_id, offered_by, user_id)
"""


@dataclass(frozen=True, slots=True)
class Offer:
    """An offer of the ownership of a project."""

    owner_id: str
    """Whose ownership it is about."""
    offered_by: str
    """The same, or somebody whose role in the organisation reaches so far."""
    user_id: str
    """Who may accept."""
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Offered:
    """A project that the caller may see, or that is offered to it."""

    project: Project
    offer: Offer | None
    """The one that stands."""
    allowed: bool
    """Whether the caller has the permission to take part in transfers, or is the one that it is offered to."""
    may_offer: bool
    """Whether the caller may offer the ownership, too."""


class TransferStore:
    """The table `project_transfers`: one offer a project at most. Whoever changes it has locked the project."""

    def __init__(self, database: Statements) -> None:
        self._database = database

    async def put(self, project: Project, offer: Offer) -> None:
        """Makes an offer, in the place of the one before."""
        values = (offer.owner_id, offer.offered_by, offer.user_id, offer.expires_at)
        await self._database.execute(_PUT, project.id, project.organization_id, *values)

    async def find(
        self, project_id: str, user_id: str, *, allowed: Scope, seen: Scope, offer: Scope, at: datetime
    ) -> Offered | None:
        """A project with its offer; `None` when it is in none of these scopes and not offered to this user either."""
        scopes = (*bound(allowed), *bound(seen), *bound(offer))
        row = await self._database.fetchrow(_FIND, project_id, user_id, at, *scopes)
        if row is None:
            return None
        owner_id, offered_by, receiver, expires_at, may_answer, may_offer = list(row)[len(COLUMNS) :]
        found = None if owner_id is None else Offer(owner_id, offered_by, receiver, expires_at)
        return Offered(project_of(row), found, may_answer, may_offer)

    async def drop(self, project_id: str) -> None:
        """Takes the offer away, if there is one."""
        await self._database.execute(_DROP, project_id)

    async def drop_all(self, organization_id: str, user_id: str, *, ending: datetime) -> None:
        """Takes away all offers in an organisation that somebody has a part in, if they would end until then."""
        await self._database.execute(_DROP_ALL, user_id, organization_id, ending)
