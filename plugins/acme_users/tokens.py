"""Personal access tokens."""

from __future__ import annotations

from acme import NotFound, Unauthenticated, authorise, current
from acme.contracts.users.v1 import (
    CreateTokenRequest,
    DeleteTokenReply,
    DeleteTokenRequest,
    ListTokensReply,
    ListTokensRequest,
    NewToken,
    TokensBase,
)
from acme_users.minting import PERSONAL, Minting, revoke_tokens
from acme_users.store import SessionStore, TokenStore

__all__ = ["Tokens", "revoke_tokens"]


class Tokens(TokensBase):
    """Keeps the contract `acme.users.v1.Tokens`."""

    def __init__(self, minting: Minting, store: TokenStore, sessions: SessionStore) -> None:
        self._minting, self._store, self._sessions = minting, store, sessions

    async def create_token(self, message: CreateTokenRequest) -> NewToken:
        """Makes a token for the caller.

        Raises:
            Invalid: there is no such permission.
            Denied: the caller's token does not cover a scope; a service account is calling.
            Conflict: the caller has `minting.MOST` tokens.
            Unauthenticated: the session was ended meanwhile.
        """
        user_id, session_id = authorise.own("tokens.create"), current().principal.session
        if not await self._store.lock_subject(user_id):
            raise NotFound("There is no such account.")
        # Whoever takes an account back ends its sessions and its tokens, with the same lock. A request that was let in
        # before that, and waited for the lock, must not leave a new token behind.
        if not await self._sessions.is_alive(user_id, session_id):
            raise Unauthenticated("The session has ended: log in again.", reason="token_revoked")
        return await self._minting.make(user_id, PERSONAL, message.name, message.scopes, message.expires_in_days)

    async def list_tokens(self, message: ListTokensRequest) -> ListTokensReply:
        """Raises `Malformed` for a page token that was altered, or made for somebody else."""
        user_id = authorise.own("tokens.read")
        return await self._minting.page(user_id, message.page_size, message.page_token)

    async def delete_token(self, message: DeleteTokenRequest) -> DeleteTokenReply:
        """Raises `NotFound` for a token that is not the caller's."""
        await self._minting.revoke(authorise.own("tokens.delete"), message.id)
        return DeleteTokenReply()
