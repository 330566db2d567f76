"""Which audit record every cell leaves: from its contract, its caller and its target, as `answers.py` has the status.

What no contract says is in two tables: who makes the requests of internal methods, and which refusals are committed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from acme.contract import Method, Work, load
from acme.contracts.audit.v1 import Outcome
from tests.matrix.answers import OWN, Cell, cells
from tests.matrix.methods import METHODS, anchor, ids

EVERY: Final = {
    method.path.removeprefix("/acme."): method
    for service in load("acme.contracts").services.values()
    for method in service.methods
}
"""All methods of our contracts."""

INTERNAL: Final = {
    "projects.v1.ProjectMembers/JoinProject": "users",
    "projects.v1.ProjectMembers/LeaveProjects": "users",
    "users.v1.Invitations/InviteToProject": "projects",
}
"""Internal methods that leave records of successes, and who calls them."""

SILENT: Final = {
    "audit.v1.AuditIntake/AppendAuditRecords",
    "authority.v1.Authority/Introspect",
    "projects.v1.ProjectSettings/DeclareSettings",
}
"""Those whose contract says why they leave none."""

LOOKING: Final = {
    "authority.v1.Authority/Changes",
    "authority.v1.Authority/Grants",
    "authority.v1.Authority/Keys",
    "placement.v1.Worker/Describe",
    "users.v1.Membership/LookUpMembers",
}
"""Internal methods that only read."""

COMMITTED: Final[Mapping[str, tuple[dict[str, Any], int, str]]] = {
    "users.v1.Sessions/CreateSession": (
        {"email": "{known}", "password": "not the password"},
        401,
        "invalid_credentials",
    ),
    "users.v1.Sessions/StepUp": ({"password": "not the password"}, 403, "invalid_credentials"),
    "users.v1.Users/ChangePassword": (
        {"current_password": "not the password", "new_password": "entirely another one"},
        403,
        "invalid_credentials",
    ),
    "users.v1.Sessions/RefreshSession": ({"refresh_token": "{used}"}, 401, "refresh_token_reused"),
}
"""Refusals that leave a trace: the body, the status and the reason."""


def without_a_row() -> list[str]:
    """Methods that nothing here speaks of, and rows without a method."""
    return sorted(EVERY.keys() ^ (METHODS.keys() | INTERNAL.keys() | SILENT | LOOKING))


def writes(method: Method) -> bool:
    """Whether a success leaves a record."""
    return not method.audit.none and (method.work is not Work.NONE or method.audit.reads)


def outcome(cell: Cell) -> Outcome | None:
    """Of the one record that a cell leaves with the services; `None` where it leaves none. The gateway's own refusals go
    another way."""
    method, caller, status = cell.method, cell.caller, cell.status
    if status < 400:
        return Outcome.OK if writes(method) else None
    if method.public or caller.proves == "nothing" or method.permission not in caller.scopes:
        return None
    if method.step_up and caller.proves != "fresh":
        return None
    if status == 403:
        return Outcome.DENIED
    return Outcome.DENIED if status == 404 and hidden(cell) else None


def hidden(cell: Cell) -> bool:
    """Whether what the method is about is not for the caller to know of: that is a decision."""
    method, row, caller = cell.method, cell.row, cell.caller
    about = ids(method).get(anchor(method), "")
    if not about:
        return False
    if anchor(method) in cell.foreign or not caller.role:
        return True
    return about == "prj" and not caller.on_project(method.permission, row.direct) & {
        method.permission,
        "projects.read",
    }


def targets(cell: Cell, asked: Mapping[str, str]) -> set[str]:
    """Ids that a record of a success names at least: those in its path, as they were `asked` for."""
    named = cell.method.audit.targets or tuple(ids(cell.method))
    return {asked[name] for name in named if name in asked and f"{{{name}}}" in cell.method.routes[0].template}


def own(path: str) -> list[Cell]:
    """The cells of a method that are tried: every caller on its own things, and one foreign thing each."""
    found = [cell for cell in cells(path) if cell.target == OWN]
    return found + [
        cell for cell in cells(path) if cell.target != OWN and cell.caller.name in ("the owner", "a stranger")
    ]
