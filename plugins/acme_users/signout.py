"""Ending what gives access to an account, in the order of locks that `store/__init__.py` names."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from acme import events
from acme.contracts.users.v1 import SessionRevoked, TokenRevoked
from acme_users.store import AccountStore, AuthorityStore, CredentialStore, SessionStore, TokenStore


@dataclass(frozen=True, slots=True)
class Gone:
    """An account that nobody has access to any more, before verifiers know."""

    user_id: str
    epoch: int
    """Access tokens of sessions with a lower one are dead."""
    tokens: list[str]
    """Ids of access tokens for programs, which have no epoch."""


class SignOut:
    """Ends sessions and access tokens inside the unit of work of whoever asks; `announce` is its last statement."""

    def __init__(
        self,
        accounts: AccountStore,
        credentials: CredentialStore,
        sessions: SessionStore,
        tokens: TokenStore,
        authority: AuthorityStore,
    ) -> None:
        self._accounts, self._credentials = accounts, credentials
        self._sessions, self._tokens, self._authority = sessions, tokens, authority

    async def sessions(self, user_id: str, *, keep: str, reason: str, now: datetime) -> list[str]:
        """Ends the sessions of a user but for `keep`, and returns their ids, for `announce_sessions`."""
        ended = await self._sessions.revoke_sessions(user_id, keep=keep, at=now)
        for session_id in ended:
            events.add(SessionRevoked(user_id=user_id, session_id=session_id, reason=reason, revoked_at=now))
        return ended

    async def announce_sessions(self, ended: list[str], *, now: datetime) -> None:
        """Tells verifiers. The last of its unit of work."""
        await self._authority.announce_ended(ended, at=now)

    async def everything(self, user_id: str, *, reason: str, now: datetime) -> Gone:
        """Ends all sessions and personal access tokens, and returns what `announce` is to tell."""
        return await self._end(user_id, await self._credentials.next_epoch(user_id), reason, now)

    async def strip(self, user_id: str, *, now: datetime) -> Gone:
        """Takes the address and all else that gives access from an account whose address somebody else proved; returns
        what `announce` is to tell."""
        return await self._end(user_id, await self._accounts.strip(user_id, at=now), "address_lost", now)

    async def announce(self, *gone: Gone | None, now: datetime) -> None:
        """Tells verifiers that access tokens below the epoch are dead, and those for programs by their ids: an answer about
        one of them may be on its way to a verifier. The last of its unit of work."""
        for one in gone:
            if one is not None:
                await self._authority.announce_ended(one.tokens, at=now)
                await self._authority.announce(subject=one.user_id, epoch=one.epoch, at=now)

    async def _end(self, user_id: str, epoch: int, reason: str, now: datetime) -> Gone:
        await self.sessions(user_id, keep="", reason=reason, now=now)
        tokens = await self._tokens.revoke_all(user_id, at=now)
        for token_id in tokens:
            events.add(TokenRevoked(subject=user_id, token_id=token_id, revoked_at=now))
        return Gone(user_id, epoch, tokens)
