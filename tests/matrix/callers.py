"""Who calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tests.matrix.methods import EVERYTHING, READING, role

OWN: Final = "the method's permission"
OTHERS: Final = "all but the method's permission"


@dataclass(frozen=True, slots=True)
class Caller:
    """One column of the matrix."""

    name: str
    person: str = ""
    """Whose account it is; several callers can be one person. "" for a program, and for nobody."""
    role: str = ""
    """In the organisation: built in, `OWN` or `OTHERS` for a custom one, "" for none."""
    direct: str = ""
    """Role on the project itself."""
    scopes: frozenset[str] = EVERYTHING
    program: bool = False
    """A service account."""
    proves: str = "fresh"
    """Its log-in: "fresh", "stale", "never" where nobody logs in, "nothing" without any token."""

    def held(self, permission: str) -> frozenset[str]:
        """What its role in the organisation includes, for a method with this permission."""
        if self.role == OWN:
            return frozenset((permission,))
        if self.role == OTHERS:
            return EVERYTHING - {permission}
        return role(self.role) if self.role else frozenset()

    def on_project(self, permission: str, direct: str = "") -> frozenset[str]:
        """What it may do on a project of an organisation whose default role is "none"."""
        if not self.role:
            return frozenset()
        reach = self.held(permission) if self.role in ("owner", "admin", OWN, OTHERS) else frozenset()
        own = self.direct or direct
        return reach | (role(own) if own else frozenset())


CALLERS: Final = (
    Caller("the owner", "owner", "owner"),
    Caller("an admin", "admin", "admin"),
    Caller("a member", "member", "member", "member"),
    Caller("a viewer", "viewer", "viewer", "viewer"),
    Caller("a guest", "guest", "guest"),
    Caller("a custom role with the permission", "with", OWN),
    Caller("a custom role with all but the permission", "without", OTHERS),
    Caller("a stranger", "stranger"),
    Caller("an expired member", "expired"),
    Caller("a service account", "", "admin", program=True, proves="never"),
    Caller("a read-only token of the owner", "owner", "owner", scopes=READING, proves="never"),
    Caller("a full token of another owner", "another owner", "owner", proves="never"),
    Caller("the owner, long after the log-in", "owner", "owner", proves="stale"),
    Caller("nobody", proves="nothing"),
)
