"""A service that keeps the authority contract with keys of its own: it issues tokens as the users service does, and also
the wrong ones that a verifier has to refuse."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from joserfc import jws
from joserfc.jwk import ECKey

from acme.contracts.authority.v1 import (
    AuthorityBase,
    AuthorityStub,
    Change,
    ChangesReply,
    ChangesRequest,
    GrantsReply,
    GrantsRequest,
    IntrospectReply,
    IntrospectRequest,
    Key,
    KeysReply,
    KeysRequest,
    Membership,
)
from acme.errors import DeadlineExceeded, Refused, Unavailable
from acme.tokens import Verifier

T = TypeVar("T")


@dataclass
class MovableClock:
    """The time, as a test says it is."""

    moment: datetime = datetime(2026, 3, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment

    def time(self) -> float:
        return self.moment.timestamp()

    def advance(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


@dataclass
class Authority(AuthorityBase):
    """Keys and revocations in memory."""

    clock: MovableClock = field(default_factory=MovableClock)
    published: dict[str, Key] = field(default_factory=dict)
    revoked: list[Change] = field(default_factory=list)
    key_version: int = 1
    page: int = 1000
    up: bool = True
    asked: int = 0
    """How often the keys were fetched."""
    members: dict[str, list[Membership]] = field(
        default_factory=lambda: {"usr_1": [Membership(organization_id="org_1", role="owner", default_role="owner")]}
    )
    """What subjects may do where."""
    opaque: dict[str, IntrospectReply] = field(default_factory=dict)
    """Opaque tokens."""
    looked_up: list[str] = field(default_factory=list)
    """Subjects and opaque tokens that were asked about."""
    on_the_way: Callable[[], Awaitable[None]] | None = None
    """Happens between the making of an answer about a subject or an opaque token, and its arrival."""

    def __post_init__(self) -> None:
        self.private: dict[str, ECKey] = {}
        self.publish("k1")

    def publish(self, kid: str, *, not_before: datetime | None = None, retired_at: datetime | None = None) -> None:
        """Makes a key and shows it."""
        self.private[kid] = key = ECKey.generate_key("P-256", private=True)
        self.published[kid] = Key(
            kid=kid,
            algorithm="ES256",
            jwk=json.dumps(key.as_dict(private=False)),
            not_before=not_before,
            retired_at=retired_at,
        )
        self.key_version += 1

    def withdraw(self, kid: str) -> None:
        del self.published[kid]
        self.key_version += 1

    def revoke_session(self, session: str) -> None:
        self.revoked.append(Change(sequence=len(self.revoked) + 1, session_id=session))

    def revoke_epochs(self, subject: str, epoch: int) -> None:
        self.revoked.append(Change(sequence=len(self.revoked) + 1, subject=subject, epoch=epoch))

    def change_grants(self, subject: str, *members: Membership) -> None:
        """The subject has these memberships from now on."""
        self.members[subject] = list(members)
        self.revoked.append(Change(sequence=len(self.revoked) + 1, grants_of=subject))

    def change_organization(self, organization_id: str) -> None:
        """Something about the memberships of many changes; `members` says what."""
        self.revoked.append(Change(sequence=len(self.revoked) + 1, organization_id=organization_id))

    def make_token(self, number: int = 1, subject: str = "usr_1", *, seconds: float = 86_400) -> str:
        """An opaque token, "pat_…" of this number."""
        token = f"{'acs_' if subject.startswith('sva_') else 'acp_'}{number:043}"
        self.opaque[token] = IntrospectReply(
            active=True,
            token_id=f"pat_{number}",
            subject=subject,
            scopes=["projects.read"],
            organization_id="org_1",
            region="us-east",
            expires_at=self.clock.now() + timedelta(seconds=seconds),
        )
        return token

    def end_token(self, token: str) -> None:
        """Revokes an opaque token."""
        self.revoke_session(self.opaque.pop(token).token_id)

    async def keys(self, message: KeysRequest) -> KeysReply:
        self.asked += 1
        self._answer()
        return KeysReply(keys=list(self.published.values()), key_version=self.key_version)

    async def changes(self, message: ChangesRequest) -> ChangesReply:
        self._answer()
        waiting = self.revoked[message.since :]
        changes = waiting[: self.page]
        latest = changes[-1].sequence if changes else len(self.revoked)
        more = len(waiting) > len(changes)
        return ChangesReply(changes=changes, latest=latest, key_version=self.key_version, more=more)

    async def grants(self, message: GrantsRequest) -> GrantsReply:
        self._answer()
        self.looked_up.append(message.subject)
        reply = self._grants(message.subject)
        if self.on_the_way is not None:
            await self.on_the_way()
        return reply

    async def introspect(self, message: IntrospectRequest) -> IntrospectReply:
        self._answer()
        self.looked_up.append(message.token)
        reply = self.opaque.get(message.token, IntrospectReply())
        if reply.active:
            reply = replace(reply, grants=self._grants(reply.subject))
        if self.on_the_way is not None:
            await self.on_the_way()
        return reply

    def _grants(self, subject: str) -> GrantsReply:
        return GrantsReply(memberships=list(self.members.get(subject, ())), sequence=len(self.revoked))

    def _answer(self) -> None:
        if not self.up:
            raise Unavailable("down")

    # ---- tokens -------------------------------------------------------------------------------------------------

    def claims(self, **changed: Any) -> dict[str, Any]:
        """Good claims, with some of them changed; `None` leaves one out."""
        now = int(self.clock.time())
        good = {
            "iss": "https://acme.localhost",
            "aud": "acme-api",
            "sub": "usr_1",
            "client_id": "acme",
            "iat": now,
            "nbf": now,
            "exp": now + 600,
            "jti": "1",
            "sid": "ses_1",
            "scope": "*",
            "org": "org_1",
            "region": "us-east",
            "epoch": 1,
            "auth_time": now,
        }
        return {name: value for name, value in {**good, **changed}.items() if value is not None}

    def token(self, kid: str = "k1", header: dict[str, Any] | None = None, **changed: Any) -> str:
        """A token signed with a key; `header` is added to the good one."""
        return self.sign(json.dumps(self.claims(**changed)), kid, **(header or {}))

    def sign(self, payload: str | bytes, kid: str = "k1", **header: Any) -> str:
        """Any payload, signed."""
        protected = {"alg": "ES256", "typ": "at+jwt", "kid": kid, **header}
        registry = jws.JWSRegistry(algorithms=["ES256"], strict_check_header=False)
        return jws.serialize_compact(protected, payload, self.private[kid], registry=registry)


def part(value: Any) -> str:
    """A part of a token, unsigned: JSON text or an object."""
    text = value if isinstance(value, str) else json.dumps(value)
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


class Direct(AuthorityStub):
    """The stub over the object itself, for tests below dispatch; keeps the timeout of a call."""

    def __init__(self, authority: AuthorityBase) -> None:
        self._authority = authority

    async def keys(self, message: KeysRequest | None = None, *, timeout: float | None = None, **_: Any) -> KeysReply:
        return await _within(timeout, self._authority.keys(message or KeysRequest()))

    async def changes(self, message: ChangesRequest, *, timeout: float | None = None, **_: Any) -> ChangesReply:
        return await _within(timeout, self._authority.changes(message))

    async def grants(self, message: GrantsRequest, *, timeout: float | None = None, **_: Any) -> GrantsReply:
        return await _within(timeout, self._authority.grants(message))

    async def introspect(
        self, message: IntrospectRequest, *, timeout: float | None = None, **_: Any
    ) -> IntrospectReply:
        return await _within(timeout, self._authority.introspect(message))


async def refusal(verifier: Verifier, token: str) -> Refused:
    """What the verifier says to a token that proves nothing."""
    try:
        await verifier.verify(token)
    except Refused as refused:
        return refused
    raise AssertionError("the token was believed")


async def _within(timeout: float | None, call: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(timeout):
            return await call
    except TimeoutError:
        raise DeadlineExceeded("too late") from None
