"""Decides what a caller may do to a resource, inside the service that owns the resource.

The gateway has checked token, scope and rate; it knows no resources. A service asks here, inside its transaction when it
mutates, and either call marks the current call as decided: the pipeline fails closed when a method that has a permission
returns without having asked.

    authorise("organizations.update", organization=message.id)          # one organisation, or what belongs to it as a whole

    scope = authorise.scope("projects.read")                            # resources with members of their own: a predicate
    rows = await self.store.list(scope, ...)

    user_id = authorise.own("sessions.read")                            # what belongs to the caller alone

Roles. In an organisation a principal has a built-in role (owner ⊃ admin ⊃ member ⊃ viewer ⊃ guest) or a custom one, which
is a set of permissions. Which built-in role includes a permission is said in the contract (`acme.options.v1.role`); one
that no contract knows is included in none. What a caller may do to a resource with members of its own is the most of its
own role there, its teams' roles there, and what its role in the organisation reaches; and never more than its token covers.

A caller that may not see a resource is told that there is none (`NotFound`, 404); one that sees it and may not do this,
so (`Denied`, 403).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from acme.context import Call, Decision, Kind, Membership, Principal, current
from acme.contract import ROLES
from acme.errors import Denied, NotFound, Unauthenticated

STEP_UP: Final = 600.0
"""Seconds for which a log-in is fresh enough for a method that declares `step_up`."""

# Up to Python 3.11, to name a member of an enum takes 0.13 µs.
_ANONYMOUS: Final = Kind.ANONYMOUS
_SERVICE_ACCOUNT: Final = Kind.SERVICE_ACCOUNT
_RANKS: Final = {role: rank for rank, role in enumerate(ROLES)}


@dataclass(frozen=True, slots=True)
class Scope:
    """Which resources a caller may use a permission on, in terms a query can use.

    A resource with members of its own is in it when its organisation is among `organizations`; or when it is among
    `memberships` and one of `subjects` is a member of the resource with one of `roles`.
    """

    user: str
    """The caller: `usr_…`, `sva_…` or `ext_…`."""
    subjects: tuple[str, ...]
    """The caller and its teams: who may be a member of a resource in its place."""
    organizations: tuple[str, ...]
    """Organisations on all of whose resources its membership lets it use the permission."""
    memberships: tuple[str, ...]
    """All its organisations. A role on a resource counts only for those who still belong to its organisation."""
    roles: tuple[str, ...]
    """The built-in roles that include the permission."""


class _Authorise:
    """The function `authorise` and its companions; one instance, no state."""

    def __call__(self, permission: str, *, organization: str) -> None:
        """Returns when the caller may use `permission` in this organisation, on what has no members of its own.

        Raises:
            NotFound: the caller does not belong to the organisation.
            Denied: its role does not include the permission, or its token does not cover it.
            Unauthenticated: nobody is calling.
        """
        call = self._decide(permission)
        membership = call.principal.memberships.get(organization)
        if membership is None:
            call.noted += (Decision(permission, organization, "", False),)
            raise NotFound("There is no such organisation, or you may not see it.")
        if not _includes(membership.role, membership, permission, call):
            call.noted += (Decision(permission, organization, membership.role, False),)
            raise Denied(f"Your role in the organisation does not include {permission}.", reason="permission_denied")
        call.noted += (Decision(permission, organization, membership.role, True),)

    def scope(self, permission: str) -> Scope:
        """The predicate for a query; same errors as a decision, except that it never raises `NotFound`."""
        call = self._decide(permission)
        principal = call.principal
        teams = (team for membership in principal.memberships.values() for team in membership.teams)
        least = _RANKS.get(call.roles.get(permission, ""), len(ROLES))
        return Scope(
            user=principal.id,
            subjects=(principal.id, *teams),
            organizations=tuple(
                name
                for name, membership in principal.memberships.items()
                if _includes(membership.default_role, membership, permission, call)
            ),
            memberships=tuple(principal.memberships),
            roles=ROLES[least:],
        )

    def own(self, permission: str) -> str:
        """For what belongs to the caller itself, such as its sessions: returns the caller's id.

        Raises:
            Denied: a service account is calling, which has no account of a person's; or somebody for whom another issuer
                vouches, who has none here.
        """
        call = self._decide(permission)
        principal = call.principal
        if principal.kind is _SERVICE_ACCOUNT:
            call.noted += (Decision(permission, "", "", False),)
            raise Denied("This is for people: a service account has nothing of the kind.", reason="not_a_person")
        if principal.issuer:
            call.noted += (Decision(permission, "", "", False),)
            message = "This is for accounts of this platform: who comes with a token of another issuer has none."
            raise Denied(message, reason="no_account")
        call.noted += (Decision(permission, "", "own", True),)
        return principal.id

    def decided(self, permission: str, resource: str, *, granted: bool, role: str = "") -> None:
        """Says what a predicate decided (`scope`), for the audit log: `resource` is the id, `role` what it rests on.

        Where it is not granted, raise `Denied` or `NotFound`: either is recorded as a denial. Say the same of what is not
        there as of what is hidden, or the two can be told apart by what they cost.

            standing = await self._store.standing(project_id, allowed=authorise.scope(permission))
            authorise.decided(permission, project_id, granted=standing is not None)
            if standing is None:
                raise NotFound("There is no such project, or you may not see it.")
        """
        current().noted += (Decision(permission, resource, role, granted),)

    def permissions(self, organization: str) -> frozenset[str]:
        """Everything the caller may do in an organisation, as far as its role and its token go together.

        Nobody gives to others what is not in here. Decides nothing: ask for the permission to give, too.
        """
        call = current()
        principal = call.principal
        membership = principal.memberships.get(organization)
        if membership is None:
            return frozenset()
        own = membership.permissions or self.role(membership.role)
        return frozenset(permission for permission in own if principal.covers(permission))

    def role(self, name: str) -> frozenset[str]:
        """What a built-in role includes, of all permissions that this process knows; nothing for another name."""
        rank = _RANKS.get(name, -1)
        return frozenset(permission for permission, least in current().roles.items() if _RANKS[least] <= rank)

    def _decide(self, permission: str) -> Call:
        call = current()
        principal = call.principal
        if principal.kind is _ANONYMOUS:
            call.noted += (Decision(permission, "", "", False),)
            raise Unauthenticated("Send a Bearer access token.")
        if not principal.covers(permission):
            call.noted += (Decision(permission, "", "", False),)
            raise Denied(f"The token does not cover {permission}.", reason="insufficient_scope")
        call.decided = True
        return call


def require_step_up(principal: Principal, now: float) -> None:
    """Returns when somebody has proved within the last `STEP_UP` seconds to be the principal; a service need not. The
    gateway asks before it reads a body, the pipeline wherever a method is served. `now`: seconds since the Unix epoch.

    Raises:
        Unauthenticated: it is too long ago (`step_up_required`; RFC 9470, section 3).
        Denied: nobody ever logs in with a token like this, so nothing will help (`step_up_impossible`).
    """
    if principal.kind is Kind.SERVICE:
        return
    if not principal.authenticated_at:
        message = "This needs somebody who has just logged in: a token made for programs does not suffice."
        raise Denied(message, reason="step_up_impossible")
    if now - principal.authenticated_at > STEP_UP:
        message = (
            "This needs a log-in of the last ten minutes: prove your password again, and send the new access token."
        )
        raise Unauthenticated(message, reason="step_up_required")


def _includes(role: str, membership: Membership, permission: str, call: Call) -> bool:
    if permission in membership.permissions:
        return True
    least = call.roles.get(permission)
    return least is not None and _RANKS.get(role, -1) >= _RANKS[least]


authorise: Final = _Authorise()
