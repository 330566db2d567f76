"""What the contracts say: methods, what they are about, and the ids in their requests."""

from __future__ import annotations

import re
from typing import Final

from acme.contract import ROLES, Field, Method, load
from acme.contract.permissions import least_roles, reading

SERVICES: Final = [
    service
    for service in load("acme.contracts").services.values()
    if service.name.startswith(("acme.users.v1.", "acme.projects.v1.", "acme.audit.v1."))
]
METHODS: Final = {
    method.path.removeprefix("/acme."): method for service in SERVICES for method in service.methods if method.routes
}
"""Those with a route, by "users.v1.Users/GetMe"."""

LISTS: Final = tuple(
    path for path, method in METHODS.items() if any(field.name == "page_token" for field in method.request.fields)
)
"""Methods that answer in pages."""

LEAST: Final = least_roles(SERVICES)
"""Permission → the least built-in role that includes it."""
READING: Final = reading(SERVICES)
"""What a token with the scope "read" covers."""
EVERYTHING: Final = frozenset(LEAST)

_SUBJECT: Final = re.compile(r"\(usr\|tem\|sva\)_")
_VARIABLE: Final = re.compile(r"\{([a-z_]+)\}")


def role(name: str) -> frozenset[str]:
    """What a built-in role includes."""
    rank = ROLES.index(name)
    return frozenset(permission for permission, least in LEAST.items() if ROLES.index(least) <= rank)


def variables(method: Method) -> tuple[str, ...]:
    """Fields in the path."""
    return tuple(_VARIABLE.findall(method.routes[0].template))


def prefix(field: Field) -> str:
    """What the id in a field begins with, "" for a field that holds none. Who a project is shared with counts as a user."""
    rules = field.rules
    if rules is None:
        return ""
    entry = rules.values if rules.values is not None and field.repeated else rules
    return entry.id or ("usr" if _SUBJECT.search(rules.pattern) else "")


def ids(method: Method) -> dict[str, str]:
    """Fields with an id, in path or body, and what it begins with."""
    return {field.name: found for field in method.request.fields if (found := prefix(field))}


def anchor(method: Method) -> str:
    """The field that names the organisation or project a method is about; "" when it is about the caller's own."""
    found = ids(method)
    first = next(iter([*variables(method), *found]), "")
    return first if found.get(first) in ("org", "prj") else ""
