"""Who may do what to a project, as a part of statements.

`authorise.scope` says it in terms of organisations and subjects; here that becomes a condition on a project `p` and the
four parameters that go with it. A statement that shows or changes a project has it inside: nothing is filtered afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from acme import Scope

WIDTH: Final = 4
"""Parameters that one scope takes."""


def bound(scope: Scope) -> tuple[Sequence[str], ...]:
    """The parameters of a scope, for `within` and its parts."""
    return scope.organizations, scope.memberships, scope.subjects, scope.roles


def within(first: int) -> str:
    """The condition that a project `p` is in the scope whose parameters begin with the number `first`."""
    return f"(p.organization_id = ANY(${first}::text[]) OR ({belongs(first)} AND {direct(first)}))"


def belongs(first: int) -> str:
    """The condition that a project `p` is in an organisation of the caller's."""
    return f"p.organization_id = ANY(${first + 1}::text[])"


def direct(first: int) -> str:
    """The condition that the caller, or one of its teams, is a member of a project `p` with a role that is enough."""
    return (
        "EXISTS (SELECT FROM project_members AS m WHERE m.project_id = p.id"
        f" AND m.subject_id = ANY(${first + 2}::text[]) AND m.role = ANY(${first + 3}::text[]))"
    )


def reached(first: int) -> str:
    """Ids of projects that are in the scope by a membership of their own alone: a walk of what the caller is a member of,
    however many projects its organisations have. An array, so that each project is fetched by its id."""
    return (
        "ARRAY(SELECT m.project_id FROM project_members AS m"  # noqa: S608 - numbers of parameters
        f" WHERE m.subject_id = ANY(${first + 2}::text[]) AND m.organization_id = ANY(${first + 1}::text[])"
        f" AND m.organization_id <> ALL(${first}::text[]) AND m.role = ANY(${first + 3}::text[]))"
    )
