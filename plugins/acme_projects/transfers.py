"""Transfers of ownership: offered, accepted within a day, and only as long as the one who offers may.

Whoever offers is the owner, or somebody whose role in the organisation includes `projects.transfer` and all that an owner
may do: offered to oneself or a friend, less would become ownership. When the offer is accepted, the owner has to be the one
it was about, and who offered must still be allowed to: the users service is asked what it is by then.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Final

from acme import Clock, Conflict, Denied, Directory, Fault, Invalid, audit, authorise, current, events, work
from acme.contracts.projects.v1 import Project, ProjectTransfer, ProjectTransferred
from acme.contracts.users.v1 import Found, LookUpMembersRequest, MembershipStub
from acme_projects.access import Access, check_gives, check_writable, covered, hidden, permissions, refused
from acme_projects.store import MemberStore, Offer, Offered, ProjectStore, TransferStore

STANDS: Final = timedelta(hours=24)
"""How long an offer can be accepted."""

_OFFER: Final = "projects.transfer"
_ACCEPT: Final = "projects.accept_transfer"


class Transfers:
    """What the three methods of a transfer do. Each of them opens its units of work itself, or is one."""

    def __init__(
        self,
        store: TransferStore,
        projects: ProjectStore,
        members: MemberStore,
        access: Access,
        directory: Directory,
        clock: Clock,
    ) -> None:
        self._store, self._projects, self._members, self._access = store, projects, members, access
        self._users, self._clock = directory.client(MembershipStub), clock

    async def offer(self, project_id: str, user_id: str) -> ProjectTransfer:
        """Offers the ownership of a project, in the place of the offer before.

        Raises:
            NotFound, Denied, Conflict: as `Access.hold`.
            Denied: the caller may not do all that an owner may.
            Invalid: the user does not belong to the organisation.
            Conflict: it owns the project already.
        """
        standing = await self._access.look(project_id, _OFFER)
        check_gives(standing, "owner")
        project = standing.project
        check_writable(project)
        if await self._find(project.organization_id, user_id) is None:
            message = "It has to be somebody who belongs to the organisation of the project."
            raise Invalid(message, reason="not_a_member", faults=[Fault("/user_id", "not_a_member", message)])
        async with work(last=True):
            standing = await self._access.hold(project_id, _OFFER)
            check_gives(standing, "owner")
            project = standing.project
            if project.owner_id == user_id:
                raise Conflict("The project is theirs already.", reason="already_owner")
            expires_at = self._clock.now() + STANDS
            await self._store.put(project, Offer(project.owner_id, current().principal.id, user_id, expires_at))
        return ProjectTransfer(project_id=project_id, user_id=user_id, expires_at=expires_at)

    async def accept(self, project_id: str) -> Project:
        """Makes the caller the owner, and the owner of before an admin.

        Raises:
            NotFound: the caller may not see the project, and it is not offered to it.
            Denied: it may see the project, and not this.
            Conflict: there is no offer to the caller that still stands; or the project is archived.
        """
        offer = self._to_caller(await self._seen(project_id))
        if offer.offered_by != offer.owner_id:
            await self._check_offers(project_id, offer.offered_by)
        async with work(last=True):
            await self._projects.lock(project_id)
            offered = await self._seen(project_id)
            if self._to_caller(offered) != offer:
                raise _no_offer()
            check_writable(offered.project)
            project = await self._hand_over(offered.project, offer.user_id)
            await self._store.drop(project_id)
            events.add(ProjectTransferred(project_id=project_id, project=project, from_user_id=offer.owner_id))
        return project

    async def cancel(self, project_id: str) -> None:
        """Takes an offer away: whoever made it, whoever it was made to, and whoever could make another.

        Raises:
            NotFound: the caller may not see the project, and it is not offered to it.
            Denied: the offer is a matter between others.
            Conflict: the project is archived.
        """
        await self._projects.lock(project_id)
        offered = await self._seen(project_id)
        check_writable(offered.project)
        if offered.offer is None:
            return
        involved = (offered.offer.offered_by, offered.offer.user_id)
        if not offered.may_offer and current().principal.id not in involved:
            raise Denied("The offer is neither yours nor made to you.", reason="permission_denied")
        await self._store.drop(project_id)

    async def _seen(self, project_id: str) -> Offered:
        offered = await self._store.find(
            project_id,
            current().principal.id,
            allowed=authorise.scope(_ACCEPT),
            seen=covered("projects.read"),
            offer=covered(_OFFER),
            at=self._clock.now(),
        )
        if offered is None:
            raise hidden(_ACCEPT, project_id)
        if not offered.allowed:
            raise refused(_ACCEPT, project_id, offered.project.organization_id)
        authorise.decided(_ACCEPT, project_id, granted=True)
        audit.about(organization=offered.project.organization_id)
        return offered

    def _to_caller(self, offered: Offered) -> Offer:
        offer = offered.offer
        if offer is None or offer.user_id != current().principal.id or offer.owner_id != offered.project.owner_id:
            raise _no_offer()
        return offer

    async def _check_offers(self, project_id: str, user_id: str) -> None:
        """Raises unless the one who offered, and is not the owner, may do so still."""
        organization = await self._projects.organization(project_id)
        found = None if organization is None else await self._find(organization, user_id)
        membership = None if found is None else found.membership
        may = frozenset() if membership is None else permissions((), membership.default_role, membership.permissions)
        if not authorise.role("owner") <= may:
            raise _no_offer()

    async def _hand_over(self, project: Project, user_id: str) -> Project:
        """Makes a member of the organisation the owner of a project that is locked."""
        now = self._clock.now()
        await self._members.set_role(project.id, project.owner_id, "admin")
        if await self._members.add(project.id, user_id, "owner", at=now) is None:
            await self._members.set_role(project.id, user_id, "owner")
        return await self._projects.write(replace(project, owner_id=user_id), at=now)

    async def _find(self, organization_id: str, user_id: str) -> Found | None:
        request = LookUpMembersRequest(organization_id=organization_id, ids=[user_id])
        found = (await self._users.look_up_members(request)).found
        return found[0] if found else None


def _no_offer() -> Conflict:
    return Conflict("Nobody offers you this project, or not any more.", reason="no_offer")
