"""Custom roles: named sets of permissions, given to members in the place of a built-in role.

Nobody makes a role that includes what it may not do itself, or changes one that does: otherwise a role would be a way to
give what one has not got.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Final

from acme import Clock, Conflict, Fault, Invalid, NotFound, Pages, authorise, events, new_id, page_size
from acme.contracts.users.v1 import (
    CreateRoleRequest,
    DeleteRoleReply,
    DeleteRoleRequest,
    ListRolesReply,
    ListRolesRequest,
    RoleChanged,
    RolesBase,
    UpdateRoleRequest,
)
from acme.contracts.users.v1 import Role as RoleMessage
from acme_users.changes import expect, named
from acme_users.standing import BUILT_IN, Parties, Party
from acme_users.store import AuthorityStore, Role, RoleStore

MOST: Final = 50
"""Custom roles of an organisation; one more is refused (409)."""
MUTABLE: Final = ("name", "permissions")
"""Fields that an update mask may name."""

_MANAGE: Final = "organizations.roles.manage"


class Roles(RolesBase):
    """Keeps the contract `acme.users.v1.Roles`."""

    def __init__(
        self, store: RoleStore, parties: Parties, authority: AuthorityStore, clock: Clock, pages: Pages
    ) -> None:
        self._store, self._parties, self._authority = store, parties, authority
        self._clock, self._pages = clock, pages

    async def create_role(self, message: CreateRoleRequest) -> RoleMessage:
        """Raises `Invalid` for a permission that no contract has, `Denied` for one that the caller has not got, and
        `Conflict` when the organisation has `MOST` roles already."""
        party = await self._parties.enter(_MANAGE, message.organization_id)
        permissions = _known(message.permissions)
        party.check_gives(frozenset(permissions))
        if await self._store.count(message.organization_id) >= MOST:
            raise Conflict(f"The organisation has {MOST} roles: delete one first.", reason="too_many_roles")
        role = Role(
            id=new_id("rol", self._clock),
            organization_id=message.organization_id,
            name=message.name,
            permissions=permissions,
            created_at=party.now,
            updated_at=party.now,
            version=1,
        )
        await self._store.add(role)
        _tell(role, "created", party.now)
        return _message(role)

    async def list_roles(self, message: ListRolesRequest) -> ListRolesReply:
        """Raises `Malformed` for a page token that was altered, or made for another list."""
        organization_id = message.organization_id
        authorise("organizations.roles.read", organization=organization_id)
        after = self._pages.open(message.page_token, organization_id) or ""
        size = page_size(message.page_size)
        first = BUILT_IN[BUILT_IN.index(after) + 1 if after in BUILT_IN else 0 :] if not _custom(after) else ()
        listed = [_built_in(name, organization_id) for name in first[: size + 1]]
        if (room := size + 1 - len(listed)) > 0:
            rows = await self._store.roles(organization_id, after=after if _custom(after) else "", limit=room)
            listed += [_message(row) for row in rows]
        token = self._pages.seal(listed[size - 1].id, organization_id) if len(listed) > size else ""
        return ListRolesReply(roles=listed[:size], next_page_token=token)

    async def update_role(self, message: UpdateRoleRequest) -> RoleMessage:
        """Sets the fields that the mask names; what is as wanted already makes no new version.

        Raises:
            NotFound: the organisation has no such role.
            Invalid: the mask names a field that nobody can set, or there is no such permission.
            Denied: the role includes what the caller may not do itself, or would.
            Stale: the role has another version than `if_match`.
        """
        party = await self._parties.enter(_MANAGE, message.organization_id)
        role = await self._role(party, message.id)
        wanted = {path: getattr(message, path) for path in named(message.update_mask, MUTABLE)}
        if "permissions" in wanted:
            wanted["permissions"] = _known(message.permissions)
            party.check_gives(frozenset(wanted["permissions"]))
        expect(message.if_match, role.version, "role")
        changed = replace(role, **wanted)
        if changed != role:
            await self._store.change(role.id, name=changed.name, permissions=changed.permissions, at=party.now)
            changed = await self._role(party, message.id)
            _tell(changed, "updated", party.now)
            if changed.permissions != role.permissions:
                await self._authority.announce(organization_id=role.organization_id, at=party.now)
        return _message(changed)

    async def delete_role(self, message: DeleteRoleRequest) -> DeleteRoleReply:
        """Raises `NotFound` when the organisation has no such role, `Conflict` when somebody has it or is invited to."""
        party = await self._parties.enter(_MANAGE, message.organization_id)
        role = await self._role(party, message.id)
        if await self._store.in_use(role.organization_id, role.id, at=party.now):
            message_text = "Somebody has this role, or is invited to it: give them another one first."
            raise Conflict(message_text, reason="role_in_use")
        await self._store.delete(role.id)
        _tell(role, "deleted", party.now)
        return DeleteRoleReply()

    async def _role(self, party: Party, role_id: str) -> Role:
        """A role that the caller may change.

        Raises:
            NotFound: the organisation has none with this id.
            Denied: it includes what the caller may not do itself.
        """
        role = await self._store.role(party.organization.id, role_id)
        if role is None:
            raise NotFound("The organisation has no such role.", reason="role_not_found")
        party.check_touches(frozenset(role.permissions))
        return role


def _known(permissions: Iterable[str]) -> tuple[str, ...]:
    """Sorted, each once.

    Raises:
        Invalid: one of them is in no contract.
    """
    wanted, known = sorted(set(permissions)), authorise.role("owner")
    if unknown := [permission for permission in wanted if permission not in known]:
        faults = [Fault("/permissions", "unknown_permission", f"there is no permission {name}") for name in unknown]
        raise Invalid("The permissions there are, are those of the role owner.", faults=faults)
    return tuple(wanted)


def _custom(role: str) -> bool:
    return role.startswith("rol_")


def _tell(role: Role, change: str, now: datetime) -> None:
    events.add(RoleChanged(organization_id=role.organization_id, role_id=role.id, change=change, changed_at=now))


def _built_in(name: str, organization_id: str) -> RoleMessage:
    return RoleMessage(
        id=name,
        organization_id=organization_id,
        name=name,
        permissions=sorted(authorise.role(name)),
        built_in=True,
    )


def _message(role: Role) -> RoleMessage:
    return RoleMessage(
        id=role.id,
        organization_id=role.organization_id,
        name=role.name,
        permissions=list(role.permissions),
        created_at=role.created_at,
        updated_at=role.updated_at,
        version=role.version,
    )
