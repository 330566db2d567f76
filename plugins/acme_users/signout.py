"""Ending what gives access to an account, in the order of locks that `store/__init__.py` names."""

from __future__ import annotations

from datetime import datetime

from acme import events
from acme.contracts.users.v1 import SessionRevoked, TokenRevoked
from acme_users.store import AccountStore, AuthorityStore, CredentialStore, SessionStore, TokenStore


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

    async def everything(self, user_id: str, *, reason: str, now: datetime) -> int:
        """Ends all sessions and personal access tokens, and returns the epoch for `announce`."""
        epoch = await self._credentials.next_epoch(user_id)
        await self._access(user_id, reason, now)
        return epoch

    async def strip(self, user_id: str, *, now: datetime) -> int:
        """Takes the address and all else that gives access from an account whose address somebody else proved; returns
        the epoch for `announce`."""
        epoch = await self._accounts.strip(user_id, at=now)
        await self._access(user_id, "address_lost", now)
        return epoch

    async def announce(self, user_id: str, epoch: int, *, now: datetime) -> None:
        """Tells verifiers that access tokens below the epoch are dead, and those for programs that ended with the account's
        at this `now`: an answer about one of them may be on its way to a verifier. The last of its unit of work."""
        await self._authority.announce_ended(await self._tokens.revoked(user_id, at=now), at=now)
        await self._authority.announce(subject=user_id, epoch=epoch, at=now)

    async def _access(self, user_id: str, reason: str, now: datetime) -> None:
        await self.sessions(user_id, keep="", reason=reason, now=now)
        for token_id in await self._tokens.revoke_all(user_id, at=now):
            events.add(TokenRevoked(subject=user_id, token_id=token_id, revoked_at=now))
