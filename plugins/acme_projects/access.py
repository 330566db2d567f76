"""What the caller may do to a project, and what it may give to others.

A project that the caller may not see is not there (404); one that it sees and may not change so, is refused (403); then the
version is compared (412), and an archived project keeps still (409). The same order everywhere.

Nobody gives what it has not. What somebody has on a project is what its own role and its teams' roles there include, with
what its role in the organisation includes: a built-in one, or the permissions of a custom one; as far as its token goes.
Whoever gives a role, changes it or takes it away has everything that the role includes, on all that there is: a custom role
without `files.read` gives nobody a role that has it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from acme import Clock, Conflict, Denied, NotFound, Principal, Scope, Stale, audit, authorise, current
from acme.contracts.projects.v1 import Project
from acme_projects.store import ProjectStore, Standing

_NOWHERE: Final = ((), (), (), ())


class Access:
    """Decides about one project at a time, in statements that see it as it is."""

    def __init__(self, store: ProjectStore, clock: Clock) -> None:
        self._store, self._clock = store, clock

    async def hold(
        self,
        project_id: str,
        permission: str,
        *,
        version: int | None = None,
        archived: bool = False,
        deleted: bool = False,
    ) -> Standing:
        """Locks a project for a change, and decides.

        `version` is the one that the change is meant for. An archived project is refused unless `archived`, and a deleted
        one is not found unless `deleted`.

        Raises:
            NotFound: the caller may not see it.
            Denied: it may see it, and not do this.
            Stale: it has another version.
            Conflict: it is archived.
        """
        allowed, seen = _scopes(permission)
        await self._store.lock(project_id)
        return await self._decide(
            project_id, permission, allowed, seen, version=version, archived=archived, deleted=deleted
        )

    async def look(self, project_id: str, permission: str) -> Standing:
        """The same without a lock, for a look at what belongs to a project, archived or not.

        Raises:
            NotFound, Denied: as `hold`.
        """
        return await self._decide(project_id, permission, *_scopes(permission), archived=True)

    async def _decide(
        self,
        project_id: str,
        permission: str,
        allowed: Scope,
        seen: Scope,
        *,
        version: int | None = None,
        archived: bool = False,
        deleted: bool = False,
    ) -> Standing:
        standing = await self._store.standing(project_id, allowed=allowed, seen=seen, at=self._clock.now())
        if standing is None or (standing.project.deleted_at is not None and not deleted):
            raise hidden(permission, project_id)
        organization_id = standing.project.organization_id
        if not standing.allowed:
            raise refused(permission, project_id, organization_id)
        _granted(permission, project_id, organization_id, standing.roles)
        check_version(version, standing.project.version, "project")
        if not archived:
            check_writable(standing.project)
        return standing


def covered(permission: str) -> Scope:
    """The scope of a permission that matters beside the one that was asked for; empty when the token does not cover it."""
    principal = current().principal
    return authorise.scope(permission) if principal.covers(permission) else Scope(principal.id, *_NOWHERE)


def _scopes(permission: str) -> tuple[Scope, Scope]:
    return authorise.scope(permission), covered("projects.read")


def none() -> NotFound:
    """There is no such project, as far as the caller knows."""
    return NotFound("There is no such project, or you may not see it.")


def hidden(permission: str, project_id: str) -> NotFound:
    """The caller may not use the permission on the project, nor see it, if there is one: either is a denial."""
    authorise.decided(permission, project_id, granted=False)
    return none()


def refused(permission: str, project_id: str, organization_id: str) -> Denied:
    """The caller sees the project, and that is all."""
    authorise.decided(permission, project_id, granted=False)
    audit.about(organization=organization_id)
    return Denied(f"Your role on the project does not include {permission}.", reason="permission_denied")


def _granted(permission: str, project_id: str, organization_id: str, roles: Iterable[str]) -> None:
    membership = current().principal.memberships.get(organization_id)
    role = next(iter(roles), "") or ("" if membership is None else membership.role)
    authorise.decided(permission, project_id, granted=True, role=role)
    audit.about(organization=organization_id)


def check_version(wanted: int | None, found: int, what: str) -> None:
    """Raises `Stale` when the change is meant for another version."""
    if wanted is not None and wanted != found:
        raise Stale(
            f"The {what} has version {found} now: read it again, then repeat your change.", reason="version_mismatch"
        )


def check_writable(project: Project) -> None:
    """Raises `Conflict` when the project is archived."""
    if project.archived:
        raise Conflict("The project is archived: unarchive it first.", reason="project_archived")


def permissions(
    standing: Iterable[str], default_role: str, custom: Iterable[str], principal: Principal | None = None
) -> frozenset[str]:
    """What somebody may do on a project: by its roles there, by the role that its organisation gives it there, and by a
    custom role; as far as the token of `principal` goes, if given."""
    roles = (authorise.role(role) for role in (*standing, default_role))
    found = frozenset(custom).union(*roles)
    return found if principal is None else frozenset(one for one in found if principal.covers(one))


def check_gives(standing: Standing, role: str) -> None:
    """Raises `Denied` unless the caller may give, change or take this role on the project."""
    principal = current().principal
    membership = principal.memberships.get(standing.project.organization_id)
    own = permissions(
        standing.roles,
        "" if membership is None else membership.default_role,
        () if membership is None else membership.permissions,
        principal,
    )
    if not authorise.role(role) <= own:
        raise Denied(f"The role {role} includes more than you may do on the project.", reason="permission_denied")
