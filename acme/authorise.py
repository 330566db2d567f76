"""Decides what a caller may do to a resource, inside the service that owns the resource.

The gateway has checked token, scope and rate; it knows no resources. A service asks here, inside its transaction when it
mutates, and either call marks the current call as decided: the pipeline fails closed when a method that has a permission
returns without having asked.

    row = await self.store.lock(message.id)
    authorise("projects.update", owner=row.owner_id, organization=row.organization_id)

    scope = authorise.scope("projects.read")          # for a list: a predicate inside the query
    rows = await self.store.list(owner=scope.user, ...)

For now a resource belongs to its owner alone; memberships widen both calls without changing their callers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from acme.context import Call, Kind, current
from acme.errors import Denied, NotFound, Unauthenticated


@dataclass(frozen=True, slots=True)
class Scope:
    """What a caller may see, in terms a query can use."""

    user: str
    """Resources owned by this user."""
    organizations: tuple[str, ...]
    """Organisations in which the caller's role covers the permission."""


# A role covers a permission when one of its patterns matches: "*" all. Custom roles replace this table.
_ROLES: Final = {"owner": ("*",)}


class _Authorise:
    """The function `authorise` and its companions; one instance, no state."""

    def __call__(self, permission: str, *, owner: str | None = None, organization: str | None = None) -> None:
        """Returns when the caller may use `permission` on a resource with this owner, in this organisation.

        Raises:
            NotFound: it may not even see it.
            Denied: the token does not cover the permission.
            Unauthenticated: nobody is calling.
        """
        call = self._decide(permission)
        if owner is not None and owner == call.principal.id:
            return
        if owner is None and organization is not None and _covers(call.principal.roles.get(organization), permission):
            return
        raise NotFound("There is no such resource, or you may not see it.")

    def scope(self, permission: str) -> Scope:
        """The predicate for a list query; same errors as a decision, except that it never raises `NotFound`."""
        principal = self._decide(permission).principal
        return Scope(principal.id, tuple(org for org, role in principal.roles.items() if _covers(role, permission)))

    def own(self, permission: str) -> str:
        """For what belongs to the caller itself, such as its sessions: returns the caller's id."""
        return self._decide(permission).principal.id

    def _decide(self, permission: str) -> Call:
        call = current()
        principal = call.principal
        if principal.kind is Kind.ANONYMOUS:
            raise Unauthenticated("Send a Bearer access token.")
        if not principal.covers(permission):
            raise Denied(f"The token does not cover {permission}.", reason="insufficient_scope")
        call.decided = True
        return call


def _covers(role: str | None, permission: str) -> bool:
    patterns = _ROLES.get(role or "", ())
    return "*" in patterns or permission in patterns


authorise: Final = _Authorise()
