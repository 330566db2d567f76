"""The authority: what `acme/tokens` asks in every process that verifies access tokens."""

from __future__ import annotations

from typing import Final

from acme import Clock
from acme.contracts.authority.v1 import (
    AuthorityBase,
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
from acme_users.minting import digest
from acme_users.store import AuthorityStore, Entry, Grant, Grants, GrantStore, TokenStore

MOST: Final = 1000
"""Changes in one reply."""


class Authority(AuthorityBase):
    """Keeps the contract `acme.authority.v1.Authority`."""

    def __init__(self, store: AuthorityStore, grants: GrantStore, tokens: TokenStore, clock: Clock) -> None:
        self._store, self._grants, self._tokens, self._clock = store, grants, tokens, clock

    async def keys(self, message: KeysRequest) -> KeysReply:
        key_set = await self._store.keys()
        return KeysReply(
            keys=[
                Key(
                    kid=key.kid,
                    algorithm=key.algorithm,
                    jwk=key.public_jwk,
                    not_before=key.not_before,
                    retired_at=key.retired_at,
                )
                for key in key_set.keys
            ],
            key_version=key_set.version,
        )

    async def changes(self, message: ChangesRequest) -> ChangesReply:
        """A caller that is ahead of us (the database was restored) is told where we are."""
        feed = await self._store.feed(message.since, limit=MOST + 1)
        shown = feed.entries[:MOST]
        more = len(feed.entries) > MOST
        return ChangesReply(
            changes=[_change(entry) for entry in shown],
            latest=shown[-1].sequence if more else feed.last_sequence,
            key_version=feed.key_version,
            more=more,
        )

    async def grants(self, message: GrantsRequest) -> GrantsReply:
        """Nothing for a subject that does not exist."""
        return _reply(await self._grants.grants(message.subject, at=self._clock.now()))

    async def introspect(self, message: IntrospectRequest) -> IntrospectReply:
        """One answer for every token that is nobody's, whatever became of it. Keeps that it was used, once a minute."""
        now = self._clock.now()
        bearer = await self._tokens.bearer(digest(message.token), at=now)
        if bearer is None:
            return IntrospectReply()
        grants = await self._grants.grants(bearer.subject, at=now)
        await self._tokens.note_use(bearer.id, at=now)
        return IntrospectReply(
            active=True,
            token_id=bearer.id,
            subject=bearer.subject,
            scopes=list(bearer.scopes),
            organization_id=bearer.organization_id,
            region=bearer.region,
            expires_at=bearer.expires_at,
            grants=_reply(grants),
        )


def _change(entry: Entry) -> Change:
    return Change(
        sequence=entry.sequence,
        session_id=entry.session_id,
        subject=entry.subject,
        epoch=entry.epoch,
        grants_of=entry.grants_of,
        organization_id=entry.organization_id,
    )


def _reply(found: Grants) -> GrantsReply:
    return GrantsReply(
        memberships=[membership_of(grant) for grant in found.grants],
        sequence=found.sequence,
    )


def membership_of(grant: Grant) -> Membership:
    """A grant, as verifiers and other services are told of it."""
    return Membership(
        organization_id=grant.organization_id,
        role=grant.role,
        permissions=list(grant.permissions),
        default_role=grant.default_role,
        teams=list(grant.teams),
        expires_at=grant.expires_at,
    )
