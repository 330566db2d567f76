"""Claims of another issuer → principal, by declaration (`PrincipalSettings`): what is not declared is not believed."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final, TypeVar

from acme.context import Kind, Membership, Principal
from acme.contract import ROLES
from acme.tokens.issuer_settings import PrincipalSettings
from acme.tokens.jws import moment, refuse

T = TypeVar("T")

FOREIGN: Final = "ext"
"""What ids of principals begin with whom another issuer vouches for; no account here has one like it."""
READ: Final = "read"
"""Stands for all permissions that only read."""
LONGEST: Final = 1024
"""Bytes of a claim that tells holders apart."""
_MANY: Final = 1000
"""Values of a claim that are looked at."""
_CUSTOM: Final = "custom"
"""Name of a role that is a set of permissions."""


def principal_of(
    claims: Mapping[str, Any],
    name: str,
    issuer: str,
    declared: PrincipalSettings,
    *,
    ends: float,
    now: float,
    reading: AbstractSet[str],
) -> Principal:
    """Whom the claims stand for until `ends`, both in seconds since the Unix epoch. `name` is ours for the issuer.

    Raises:
        Unauthenticated: a declared claim is missing or not of its kind (`invalid_token`).
    """
    holder = _text(claims, declared.id)
    kinds = [declared.kinds[value] for value in _values(claims, declared.kind_claim) if value in declared.kinds]
    memberships = _memberships(claims, declared)
    proved, when = 0.0, declared.authenticated_at
    if when and (said := _claim(claims, when)) is not None:
        proved = min(moment({when: said}, when), now)
    return Principal(
        Kind(kinds[0] if kinds else declared.kind),
        foreign_id(issuer, holder),
        _short("", _text(claims, declared.session), issuer) if declared.session else "",
        _scopes(claims, declared, reading),
        next(iter(memberships), ""),
        memberships,
        expires_at=ends,
        authenticated_at=proved,
        issuer=name,
    )


def foreign_id(issuer: str, holder: str) -> str:
    """The id of somebody whom `issuer` (claim `iss`) calls `holder`: "ext_" and 130 bits of SHA-256 over both.

    It is the same for ever and for nobody else; no account here can have it; and it says nothing about a person, since
    holders are named by e-mail addresses at times, and ids stand in logs.
    """
    return _short(f"{FOREIGN}_", holder, issuer)


def _short(prefix: str, text: str, issuer: str) -> str:
    digest = hashlib.sha256(f"{issuer}\0{text}".encode()).digest()
    return prefix + base64.b32hexencode(digest).decode().lower()[:26]


def _memberships(claims: Mapping[str, Any], declared: PrincipalSettings) -> dict[str, Membership]:
    said = _values(claims, declared.organization_claim)
    organizations = [declared.organization] if declared.organization else _known(said, declared.organizations)
    named = list(_values(claims, declared.role_claim))
    roles = [*_known(named, declared.roles), *filter(None, [declared.role])]
    role = max(roles, key=ROLES.index, default="")
    permissions = frozenset(each for value in named for each in declared.permissions.get(value, ()))
    if not role and not permissions:
        return {}
    reach = "" if role == "guest" else role
    return dict.fromkeys(organizations, Membership(role or _CUSTOM, permissions, reach))


def _scopes(claims: Mapping[str, Any], declared: PrincipalSettings, reading: AbstractSet[str]) -> frozenset[str]:
    covered = set(declared.covers)
    for value in _values(claims, declared.scope_claim):
        covered.update(declared.scopes.get(value, ()))
    return frozenset(covered | reading if READ in covered else covered)


def _known(values: Iterator[str] | list[str], table: Mapping[str, T]) -> list[T]:
    """What the values mean that mean something, in their order."""
    return [table[value] for value in values if value in table]


def _values(claims: Mapping[str, Any], name: str) -> Iterator[str]:
    """The values of a claim: of a list those that are strings, of a string its words; none of one that is not there."""
    value = _claim(claims, name) if name else None
    if isinstance(value, str):
        yield from value.split(" ")[:_MANY]
    elif isinstance(value, list):
        yield from (each for each in value[:_MANY] if isinstance(each, str))


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = _claim(claims, name)
    if not isinstance(value, str) or not value:
        refuse(f"The access token's claim {name} is not a string.")
    try:
        length = len(value.encode())
    except UnicodeEncodeError:  # half a pair of surrogates, which JSON can write
        length = LONGEST + 1
    if length > LONGEST:
        refuse(f"The access token's claim {name} is not a name of up to {LONGEST} bytes.")
    return value


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """A claim by its name, or by a JSON Pointer; `None` when it is not there."""
    if not name.startswith("/"):
        return claims.get(name)
    found: Any = claims
    for part in name[1:].split("/"):
        found = found.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
    return found
