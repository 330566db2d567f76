"""Ends the access tokens for programs that somebody has: with its password, its account, or the program itself."""

from __future__ import annotations

from datetime import datetime

from acme import events
from acme.contracts.users.v1 import TokenRevoked
from acme_users.store import AuthorityStore, TokenStore


async def revoke_tokens(tokens: TokenStore, authority: AuthorityStore, subject: str, *, at: datetime) -> int:
    """Revokes every token of a user or a service account and announces it; returns how many it were.

    Inside a unit of work, and last in it: it takes the lock that everybody who announces has to pass.
    """
    ended = await tokens.revoke_all(subject, at=at)
    for token_id in ended:
        events.add(TokenRevoked(subject=subject, token_id=token_id, revoked_at=at))
    await authority.announce_ended(ended, at=at)
    return len(ended)
