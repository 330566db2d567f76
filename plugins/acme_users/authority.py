"""The authority: what `acme/tokens.py` asks in every process that verifies access tokens."""

from __future__ import annotations

from typing import Final

from acme.contracts.authority.v1 import (
    AuthorityBase,
    Change,
    ChangesReply,
    ChangesRequest,
    Key,
    KeysReply,
    KeysRequest,
)
from acme_users.store import AuthorityStore

MOST: Final = 1000
"""Changes in one reply."""


class Authority(AuthorityBase):
    """Keeps the contract `acme.authority.v1.Authority`."""

    def __init__(self, store: AuthorityStore) -> None:
        self._store = store

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
        shown = feed.revocations[:MOST]
        more = len(feed.revocations) > MOST
        return ChangesReply(
            changes=[
                Change(sequence=entry.sequence, session_id=entry.session_id, subject=entry.subject, epoch=entry.epoch)
                for entry in shown
            ],
            latest=shown[-1].sequence if more else feed.last_sequence,
            key_version=feed.key_version,
            more=more,
        )
