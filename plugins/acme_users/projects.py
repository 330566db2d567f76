"""What the projects service is told after a commit here, by deliveries: it is never called inside a transaction.

A delivery is repeated until it went through, and both calls may be repeated. What the projects service refuses for good
(the project is gone, or who invited may not any more) is over.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import msgspec

from acme import Attempt, Conflict, Denied, NotFound, Resources, deliver
from acme.contracts.projects.v1 import JoinProjectRequest, LeaveProjectsRequest, ProjectMembersStub
from acme_users.store.members import MemberStore

JOIN: Final = "join_project"
LEAVE: Final = "leave_projects"


class Joining(msgspec.Struct, frozen=True):
    """Payload of `JOIN`."""

    project_id: str
    user_id: str
    role: str
    invitation_id: str
    inviter_id: str


class Leaving(msgspec.Struct, frozen=True):
    """Payload of `LEAVE`."""

    organization_id: str
    subject_id: str
    """A user, team or service account."""
    left_at: datetime


def join(joining: Joining) -> None:
    """Somebody accepted an invitation to a project: makes it a member there after the commit."""
    deliver(JOIN, msgspec.json.encode(joining))


def leave(organization_id: str, subject_id: str, *, at: datetime) -> None:
    """A user, team or service account is gone from an organisation: takes it out of all its projects after the commit."""
    deliver(LEAVE, msgspec.json.encode(Leaving(organization_id, subject_id, at)))


async def joined(resources: Resources[Any], attempt: Attempt) -> None:
    """Carries out `join`."""
    asked = msgspec.json.decode(attempt.payload, type=Joining)
    request = JoinProjectRequest(
        project_id=asked.project_id,
        user_id=asked.user_id,
        role=asked.role,
        invitation_id=asked.invitation_id,
        inviter_id=asked.inviter_id,
    )
    try:
        await resources.directory.client(ProjectMembersStub).join_project(request)
    except (NotFound, Denied, Conflict):
        return


async def left(resources: Resources[Any], attempt: Attempt) -> None:
    """Carries out `leave`. What the one who left owned goes to whoever owns the organisation by now."""
    asked = msgspec.json.decode(attempt.payload, type=Leaving)
    heir = await MemberStore(resources.database).lasting_owner(asked.organization_id, but=asked.subject_id)
    request = LeaveProjectsRequest(
        organization_id=asked.organization_id, subject_id=asked.subject_id, heir_id=heir or "", left_at=asked.left_at
    )
    await resources.directory.client(ProjectMembersStub).leave_projects(request)
