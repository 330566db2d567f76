"""Who calls in a test: somebody with an account, or somebody made up."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from acme.context import Kind, Membership, Principal
from acme.ids import new_id
from acme.ports import Clock

PASSWORD = "correct horse battery staple"  # noqa: S105 - of accounts that live for one test
"""The password of everybody who signs up without another one."""


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who calls."""

    principal: Principal
    """What the platform knows of the caller. Good for calls by contract."""
    email: str = ""
    password: str = field(default="", repr=False)
    access_token: str = field(default="", repr=False)
    """Good for calls over HTTP; empty for somebody made up."""
    refresh_token: str = field(default="", repr=False)

    @property
    def id(self) -> str:
        """`usr_…`."""
        return self.principal.id

    @property
    def organization(self) -> str:
        """The personal organisation, `org_…`."""
        return self.principal.organization


def somebody(clock: Clock, *, region: str = "local", scopes: Iterable[str] = ("*",)) -> User:
    """A user with a personal organisation whom no service has heard of: enough for services that ask nothing of users."""
    organization = new_id("org", clock)
    principal = Principal(
        Kind.USER,
        new_id("usr", clock),
        session=new_id("ses", clock),
        scopes=frozenset(scopes),
        organization=organization,
        memberships={organization: Membership("owner", default_role="owner")},
        region=region,
        authenticated_at=clock.time(),
    )
    return User(principal)


def principal_of(access_token: str) -> Principal:
    """The principal that an access token (RFC 9068) names, without its memberships; its signature is not looked at."""
    body = access_token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return Principal(
        Kind.USER,
        claims["sub"],
        session=claims["sid"],
        scopes=frozenset(claims["scope"].split(" ")),
        organization=claims["org"],
        region=claims["region"],
        epoch=claims.get("epoch", 0),
        expires_at=float(claims["exp"]),
        authenticated_at=float(claims["auth_time"]),
    )
