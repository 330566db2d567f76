"""What somebody may do in an organisation, decided inside the transaction that changes something there.

`authorise` decides on what this process knew of the caller up to a second ago. That is enough for reading. Who changes
something asks here: the organisation's row is locked first, then the caller's membership is read again, so two changes in
one organisation never decide at the same time, and nobody acts on a role that was taken away before.

Two sets of permissions follow from a role. Whom somebody may *touch* (change, remove) is measured by all that the role
includes. What somebody may *give* is measured by what its token covers as well: a token for one thing hands nothing else
on.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from acme import Clock, Conflict, Denied, Fault, Invalid, NotFound, audit, authorise, current
from acme_users.store.members import Member, MemberStore, Standing
from acme_users.store.organizations import Organization, OrganizationStore
from acme_users.store.roles import RoleStore

BUILT_IN: Final = ("owner", "admin", "member", "viewer", "guest")
"""Roles that every organisation has, each of which includes those after it."""
MOST: Final = 250
"""Organisations that a user belongs to; one more is refused (409). Lists and searches look into each of them. Whoever joins
several at the very same moment may get a few more."""


@dataclass(frozen=True, slots=True)
class Party:
    """The caller in an organisation that is locked."""

    organization: Organization
    subject: str
    """A user or a service account."""
    role: str
    may: frozenset[str]
    """All that its role includes."""
    now: datetime
    """Not before the lock was ours."""

    def check_gives(self, granted: frozenset[str]) -> None:
        """Returns when the caller may give a role that includes this.

        Raises:
            Denied: it includes what the caller may not do itself.
        """
        principal = current().principal
        if not all(permission in self.may and principal.covers(permission) for permission in granted):
            raise Denied("The role includes what you may not do yourself.", reason="role_above_own")

    def check_touches(self, held: frozenset[str]) -> None:
        """Returns when the caller may change what has this set of permissions.

        Raises:
            Denied: it includes what the caller may not do itself.
        """
        if not held <= self.may:
            raise Denied("That includes what you may not do yourself.", reason="above_own_role")

    def check_shared(self) -> None:
        """Raises `Conflict` for a personal organisation."""
        if self.organization.personal:
            message = "This is a personal organisation, which stays its owner's alone: make another one to share."
            raise Conflict(message, reason="personal_organization")


class Parties:
    """Lets callers into organisations, one at a time."""

    def __init__(self, organizations: OrganizationStore, members: MemberStore, roles: RoleStore, clock: Clock) -> None:
        self._organizations, self._members, self._roles, self._clock = organizations, members, roles, clock

    async def enter(self, permission: str, organization_id: str) -> Party:
        """Locks the organisation, for somebody whose role there includes the permission.

        Raises:
            NotFound: the caller does not belong to it.
            Denied: its role does not include the permission, or its token does not cover it.
        """
        authorise(permission, organization=organization_id)
        party = await self.lock(organization_id)
        if permission not in party.may:
            raise Denied(f"Your role in the organisation does not include {permission}.", reason="permission_denied")
        return party

    async def enter_as_oneself(self, permission: str, organization_id: str) -> Party:
        """Locks the organisation, for a person who belongs to it, as whatever: for what it decides on its own account.

        Raises:
            NotFound: the caller does not belong to it.
            Denied: its token does not cover the permission, or it is no person.
        """
        authorise.own(permission)
        party = await self.lock(organization_id, permission)
        audit.about(organization=organization_id)
        return party

    async def lock(self, organization_id: str, permission: str = "") -> Party:
        """Locks the organisation, for somebody who belongs to it. Decides nothing else; `permission` is what for.

        Raises:
            NotFound: the caller does not belong to it.
            Denied: another issuer says so, and no account here (`no_account`): what its token says of a role is good for
                what is in the organisation, not for the organisation itself.
        """
        principal = current().principal
        subject = principal.id
        if principal.issuer:
            authorise.decided(permission, organization_id, granted=False)
            message = (
                "To manage an organisation takes an account of this platform: a token of another issuer does not do."
            )
            raise Denied(message, reason="no_account")
        organization = await self._organizations.lock(organization_id)
        now = self._clock.now()
        standing = None if organization is None else await self._members.standing(organization_id, subject, at=now)
        if organization is None or standing is None:
            authorise.decided(permission, organization_id, granted=False)
            raise NotFound("There is no such organisation, or you may not see it.")
        return Party(organization, subject, standing.role, included(standing), now)

    async def granted(self, organization_id: str, role: str) -> frozenset[str]:
        """What a role includes, built in or the organisation's own.

        Raises:
            Invalid: it is no role's name.
            NotFound: the organisation has no such role.
        """
        if role in BUILT_IN:
            return authorise.role(role)
        if not role.startswith("rol_"):
            message = f"A role is one of {', '.join(BUILT_IN)}, or the id of a custom role."
            raise Invalid(message, faults=[Fault("/role", "unknown_role", message)])
        found = await self._roles.role(organization_id, role)
        if found is None:
            raise NotFound("There is no such role in the organisation.", reason="role_not_found")
        return frozenset(found.permissions)


def included(standing: Standing | Member) -> frozenset[str]:
    """All that somebody's role includes; at least what a guest may, whatever a custom role says: everybody can leave."""
    if standing.role in BUILT_IN:
        return authorise.role(standing.role)
    return authorise.role("guest").union(standing.permissions)


async def check_room(organizations: OrganizationStore, user_id: str, now: datetime) -> None:
    """Returns when a user may belong to one organisation more.

    Raises:
        Conflict: it belongs to `MOST`.
    """
    if await organizations.count(user_id, at=now) >= MOST:
        message = f"You belong to {MOST} organisations: leave one first."
        raise Conflict(message, reason="too_many_organizations")


def future(moment: datetime | None, field: str, now: datetime) -> datetime | None:
    """The end of a membership as somebody asked for it.

    Raises:
        Invalid: it has passed.
    """
    if moment is not None and moment <= now:
        message = "It has passed: give a time that is to come."
        raise Invalid("A membership ends in the future.", faults=[Fault(f"/{field}", "past", message)])
    return moment
