"""What no contract says: how a request is made that would be granted, and how a method answers beyond permissions.

A method without a row fails a test, and so does a row without a method.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from acme.testing.people import PASSWORD
from tests.people import OTHER

UNKNOWN_TOKEN: Final = {"token": "qL0oVd3n7yXb1mTz5RkC8wUeHf2sJaGp9iNxEvBuYt4"}


@dataclass(frozen=True, slots=True)
class Row:
    """One method. Texts in a body are filled with the ids of the target: "{email}", "{token}", "{known}"."""

    body: Mapping[str, Any] | None = None
    """Of the request, without the fields that hold ids."""
    headers: Mapping[str, str] = field(default_factory=dict)
    ids: Mapping[str, str] = field(default_factory=dict)
    """Field → what it names, where its prefix does not tell."""
    roles: tuple[str, ...] = ()
    """Fields that hold a role, which may be a custom one of another organisation's."""
    oneself: bool = False
    """It is about the caller's own place in the organisation: whoever belongs to it may, if it is a person."""
    listed: bool = False
    """It is about all that the caller may see: programs may, too."""
    batch: bool = False
    """It takes many ids, and names those that lead to nothing."""
    direct: str = ""
    """The role that whoever belongs to the organisation and has none has on the project."""
    gives: str = ""
    """A role that the caller gives, changes or takes away: nobody does that above its own set."""
    looks_first: bool = False
    """It looks at the project and at who is to be changed before it compares what may be given."""
    session: bool = False
    """It continues a log-in: a token made for programs has none."""
    archived: int = 409
    """The answer where the project is archived; 0 for the same."""
    foreign: Mapping[str, int] = field(default_factory=dict)
    """Field → the answer to an id of another organisation's, where that is not 404."""
    program: int = 0
    """The answer to a service account, where state makes it another one."""
    public: int = 0
    """The answer to everybody, where the request holds a token that nobody has."""
    path: Mapping[str, str] = field(default_factory=dict)
    """Variables of the path that hold no ids."""
    prepare: str = ""
    """What `world.py` does before a request that will be granted."""


_READ: Final = Row(archived=0)

_PROJECTS: Final = {
    "CreateProject": Row({"name": "Apollo"}),
    "GetProject": _READ,
    "ListProjects": Row(listed=True),
    "UpdateProject": Row({"name": "Apollo 11"}),
    "ArchiveProject": _READ,
    "UnarchiveProject": _READ,
    "DeleteProject": _READ,
    "UndeleteProject": Row({}, archived=0, prepare="deleted"),
    "BatchGetProjects": Row({}, batch=True),
    "TransferProject": Row({}, gives="owner", foreign={"user_id": 422}),
    "AcceptProjectTransfer": Row({}, program=409, prepare="project offered"),
    "CancelProjectTransfer": Row({}, prepare="project offered"),
    "LeaveProject": Row({}, direct="viewer", archived=0),
}
_PROJECT_MEMBERS: Final = {
    "ListProjectMembers": _READ,
    "AddProjectMember": Row({"role": "viewer"}, ids={"subject_id": "new"}, gives="viewer", foreign={"subject_id": 422}),
    "UpdateProjectMember": Row({"role": "viewer"}, gives="viewer", looks_first=True),
    # Removing one that is no member changes nothing.
    "RemoveProjectMember": Row(gives="viewer", looks_first=True),
}
_PROJECT_SETTINGS: Final = {
    "GetProjectSettings": _READ,
    "UpdateProjectSettings": Row({"theme": "dark"}, {"If-Match": '"0"'}),
    "ListProjectSettingsHistory": _READ,
    "GetSettingsSchema": Row(),
    "SetSettingsSchema": Row({"type": "object"}),
}
_ORGANIZATIONS: Final = {
    "ListOrganizations": Row(),
    "CreateOrganization": Row({"name": "Analytical Engines"}),
    "GetOrganization": Row(),
    "UpdateOrganization": Row({"name": "Difference Engines"}),
    "TransferOrganization": Row({}),
    "AcceptOrganizationTransfer": Row({}, oneself=True, prepare="organization offered"),
    "CancelOrganizationTransfer": Row({}, oneself=True, prepare="organization offered"),
    "LeaveOrganization": Row({}, oneself=True),
    "ListMembers": Row(),
    "UpdateMember": Row({"role": "guest"}, roles=("role",)),
    "RemoveMember": Row(),
}
_INVITATIONS: Final = {
    "CreateInvitation": Row({"email": "{email}", "role": "guest"}, roles=("role",)),
    "ListInvitations": Row(),
    "ResendInvitation": Row({}),
    "DeleteInvitation": Row(),
    "AcceptInvitation": Row({"token": "{token}"}, prepare="invited"),
}
_TEAMS: Final = {
    "CreateTeam": Row({"name": "Compilers"}),
    "ListTeams": Row(),
    "GetTeam": Row(),
    "UpdateTeam": Row({"name": "Languages"}),
    "DeleteTeam": Row(),
    "ListTeamMembers": Row(),
    "AddTeamMember": Row({}, ids={"user_id": "new"}),
    "RemoveTeamMember": Row(),
}
_ROLES: Final = {
    "CreateRole": Row({"name": "Auditor"}),
    "ListRoles": Row(),
    "UpdateRole": Row({"name": "Reviewer"}),
    "DeleteRole": Row(),
}
_PAT: Final = {"name": "Nightly build", "scopes": ["projects.read"], "expires_in_days": 9}
_TOKENS: Final = {
    "CreateToken": Row(_PAT),
    "ListTokens": Row(),
    "DeleteToken": Row(ids={"id": "own pat"}, prepare="own token"),
}
_SERVICE_ACCOUNTS: Final = {
    "CreateServiceAccount": Row({"name": "Build robot", "role": "guest"}, roles=("role",)),
    "ListServiceAccounts": Row(),
    "DeleteServiceAccount": Row(),
    "CreateServiceAccountToken": Row(_PAT),
    "ListServiceAccountTokens": Row(),
    "DeleteServiceAccountToken": Row(),
}
_USERS: Final = {
    "CreateUser": Row({"email": "{email}", "password": PASSWORD, "display_name": "Ada"}),
    "VerifyEmail": Row(UNKNOWN_TOKEN, public=422),
    "GetMe": Row(),
    "UpdateMe": Row({"display_name": "Ada King"}),
    "ChangePassword": Row({"current_password": PASSWORD, "new_password": OTHER}, prepare="password"),
    "RequestPasswordReset": Row({"email": "{email}"}),
    "ResetPassword": Row({**UNKNOWN_TOKEN, "new_password": OTHER}, public=422),
    "ChangeEmail": Row({"new_email": "{email}"}),
    "ConfirmEmailChange": Row(UNKNOWN_TOKEN, public=422),
    "UndoEmailChange": Row(UNKNOWN_TOKEN, public=422),
}
_SESSIONS: Final = {
    "CreateSession": Row({"email": "{known}", "password": PASSWORD}),
    "RefreshSession": Row({"refresh_token": UNKNOWN_TOKEN["token"]}, public=401),
    "ListSessions": Row(),
    "DeleteSession": Row(ids={"id": "ses"}, prepare="own session"),
    "RevokeAllSessions": Row({"keep_current": True}),
    "StepUp": Row({"password": PASSWORD}, session=True, prepare="password"),
}

_AUDIT: Final = {
    "ListAuditRecords": Row(),
    "GetAuditCheckpoint": Row(),
    "GetInclusionProof": Row(path={"sequence": "1"}),
    "GetConsistencyProof": Row(),
}

ROWS: Final[Mapping[str, Row]] = {
    f"{service}/{name}": row
    for service, rows in {
        "projects.v1.Projects": _PROJECTS,
        "projects.v1.ProjectMembers": _PROJECT_MEMBERS,
        "projects.v1.ProjectSettings": _PROJECT_SETTINGS,
        "users.v1.Organizations": _ORGANIZATIONS,
        "users.v1.Invitations": _INVITATIONS,
        "users.v1.Teams": _TEAMS,
        "users.v1.Roles": _ROLES,
        "users.v1.Tokens": _TOKENS,
        "users.v1.ServiceAccounts": _SERVICE_ACCOUNTS,
        "users.v1.Users": _USERS,
        "users.v1.Sessions": _SESSIONS,
        "audit.v1.Audit": _AUDIT,
    }.items()
    for name, row in rows.items()
}
