"""Sessions: log-in, refresh, the list of one's devices, and ending them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from acme import (
    Clock,
    Denied,
    NotFound,
    Pages,
    Refused,
    Unauthenticated,
    Unavailable,
    audit,
    authorise,
    current,
    events,
    new_id,
    page_size,
    work,
)
from acme.contracts.users.v1 import (
    CreateSessionRequest,
    DeleteSessionReply,
    DeleteSessionRequest,
    ListSessionsReply,
    ListSessionsRequest,
    RefreshSessionRequest,
    RevokeAllSessionsReply,
    RevokeAllSessionsRequest,
    SessionCreated,
    SessionRevoked,
    SessionsBase,
    SessionTokens,
    StepUpReply,
    StepUpRequest,
)
from acme.contracts.users.v1 import Session as SessionMessage
from acme_users.passwords import Passwords
from acme_users.proof import Proof
from acme_users.refresh import RefreshToken, RefreshTokens, Use, judge
from acme_users.signing import AccessTokens
from acme_users.signout import SignOut
from acme_users.step_up import StepUp
from acme_users.store import NEWEST, AccountStore, AuthorityStore, Holder, Identity, Session, SessionStore
from acme_users.throttles import typed

USER_AGENT: Final = 200
"""Characters kept of a User-Agent."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What the settings say about sessions."""

    life: timedelta
    """From log-in; refreshing does not extend it (OWASP ASVS 5, 10.4.8)."""
    verified_only: bool
    """Whether an account without a proved address may not log in."""


class Sessions(SessionsBase):
    """Keeps the contract `acme.users.v1.Sessions`."""

    def __init__(
        self,
        store: SessionStore,
        accounts: AccountStore,
        authority: AuthorityStore,
        passwords: Passwords,
        proof: Proof,
        refresh: RefreshTokens,
        access: AccessTokens,
        step_up: StepUp,
        sign_out: SignOut,
        policy: Policy,
        clock: Clock,
        pages: Pages,
    ) -> None:
        self._store, self._accounts, self._authority = store, accounts, authority
        self._passwords, self._proof, self._refresh, self._access = passwords, proof, refresh, access
        self._step_up, self._sign_out = step_up, sign_out
        self._policy, self._clock, self._pages = policy, clock, pages

    async def create_session(self, message: CreateSessionRequest) -> SessionTokens:
        """Logs in. Every branch computes one hash, outside of any transaction, and a wrong password answers as nobody's.

        Raises:
            Unauthenticated: no account has this address and password (reason `invalid_credentials`).
            Denied: the password is right, the address unproved, and that is not enough here (`email_not_verified`).
            Exhausted: too many failed attempts at the account, wherever, or by this client.
            Unavailable: too many log-ins at the moment.
        """
        for _ in range(2):  # the second time when another log-in renewed the hash between our look and our transaction
            holder, password_hash = await self._prove(message)
            async with work():
                begun = await self._begin(holder, password_hash, message.user_agent)
            if begun is not None:
                await self._renew(holder, password_hash, message.password)
                return await self._tokens(*begun)
        raise _wrong()

    async def refresh_session(self, message: RefreshSessionRequest) -> SessionTokens:
        """Rotates the refresh token: see `refresh.py`.

        Raises:
            Unauthenticated: the token proves nothing (`invalid_refresh_token`), or it was used before and the session
                has ended now (`refresh_token_reused`), which stays committed.
        """
        try:
            token = RefreshToken.parse(message.refresh_token)
        except ValueError as error:
            raise _unusable() from error
        session = await self._store.lock_session(token.session_id)
        now = self._clock.now()  # not before the lock is ours: the grace begins when the successor is made
        if session is None or not self._refresh.genuine(token, session.secret):
            raise _unusable()
        if session.revoked_at is not None or session.expires_at <= now:
            raise _unusable()
        audit.about(actor=session.user_id, target=session.id)
        generation = session.generation
        match judge(token.generation, generation, now - session.rotated_at):
            case Use.ROTATE:
                generation += 1
                await self._store.rotate(session.id, generation, at=now)
            case Use.REUSED:
                await self._end(session, "refresh_token_reused", now)
                message_text = "The refresh token was used before, so the session has been ended: log in again."
                raise Unauthenticated(message_text, reason="refresh_token_reused", commit=True)
            case Use.REPEAT:
                pass
        identity = await self._accounts.identity(session.user_id)
        audit.about(organization=identity.organization_id)
        return await self._tokens(session, identity, generation)

    async def list_sessions(self, message: ListSessionsRequest) -> ListSessionsReply:
        """Raises `Malformed` for a page token that was altered, or made for somebody else."""
        user_id = authorise.own("sessions.read")
        before = self._pages.open(message.page_token) or NEWEST
        size = page_size(message.page_size)
        rows = await self._store.sessions(user_id, before=before, at=self._clock.now(), limit=size + 1)
        token = self._pages.seal(rows[size - 1].id) if len(rows) > size else ""
        return ListSessionsReply(sessions=list(_messages(rows[:size])), next_page_token=token)

    async def delete_session(self, message: DeleteSessionRequest) -> DeleteSessionReply:
        """Ends one of the caller's sessions; one that has ended before stays so.

        Raises:
            NotFound: it is not the caller's.
        """
        user_id = authorise.own("sessions.delete")
        session = await self._store.lock_session(message.id)
        if session is None or session.user_id != user_id:
            raise NotFound("There is no such session, or it is not yours.")
        if session.revoked_at is None:
            await self._end(session, "signed_out", self._clock.now())
        return DeleteSessionReply()

    async def revoke_all_sessions(self, message: RevokeAllSessionsRequest) -> RevokeAllSessionsReply:
        user_id = authorise.own("sessions.delete")
        keep = current().principal.session if message.keep_current else ""
        now = self._clock.now()
        ended = await self._sign_out.sessions(user_id, keep=keep, reason="signed_out", now=now)
        await self._sign_out.announce_sessions(ended, now=now)
        return RevokeAllSessionsReply()

    async def step_up(self, message: StepUpRequest) -> StepUpReply:
        return await self._step_up.step_up(message)

    async def _prove(self, message: CreateSessionRequest) -> tuple[Holder, bytes]:
        """The account with this address and password, and the hash that was compared."""
        key = typed(message.email)
        holder = await self._accounts.holder(key)  # nobody signs up with what is no address
        password_hash = None if holder is None else holder.password_hash
        user_id = "" if holder is None else holder.id
        await self._proof.prove(key, user_id, password_hash, message.password, _wrong(commit=True))
        if holder is None or password_hash is None:
            raise _wrong()  # never: nothing is made of what there is not
        if self._policy.verified_only and not holder.verified:
            raise Denied("Confirm your e-mail address first: see the mail we sent.", reason="email_not_verified")
        return holder, password_hash

    async def _begin(
        self, holder: Holder, password_hash: bytes, user_agent: str
    ) -> tuple[Session, Identity, int] | None:
        """A new session, unless the account's password is another one by now."""
        if not await self._accounts.hold_password(holder.id, password_hash):
            return None
        now = self._clock.now()
        session = Session(
            id=new_id("ses", self._clock),
            user_id=holder.id,
            secret=os.urandom(32),
            generation=1,
            rotated_at=now,
            user_agent="".join(filter(str.isprintable, user_agent))[:USER_AGENT],
            address=current().address,
            created_at=now,
            expires_at=now + self._policy.life,
            authenticated_at=now,
        )
        await self._store.add_session(session)
        events.add(SessionCreated(user_id=holder.id, session_id=session.id, created_at=now))
        identity = await self._accounts.identity(holder.id)
        audit.about(organization=identity.organization_id, actor=holder.id, target=session.id)
        audit.done()
        return session, identity, session.generation

    async def _renew(self, holder: Holder, password_hash: bytes, password: str) -> None:
        """Hashes again what was hashed by the parameters of another day: only now do we know the password."""
        if self._passwords.outdated(password_hash):
            try:
                fresh = await self._passwords.hash(password)
            except Unavailable:
                return  # at the next log-in, then
            await self._accounts.replace_hash(holder.id, password_hash, fresh)

    async def _tokens(self, session: Session, identity: Identity, generation: int) -> SessionTokens:
        return SessionTokens(
            access_token=await self._access.issue(identity, session),
            refresh_token=self._refresh.issue(session.id, session.secret, generation),
            token_type="Bearer",  # noqa: S106 - the name of a scheme (RFC 6750)
            expires_in=int(self._access.life.total_seconds()),
            session_id=session.id,
        )

    async def _end(self, session: Session, reason: str, now: datetime) -> None:
        await self._store.revoke_session(session.id, at=now)
        events.add(SessionRevoked(user_id=session.user_id, session_id=session.id, reason=reason, revoked_at=now))
        await self._authority.announce(session_id=session.id, at=now)


def _messages(sessions: Iterable[Session]) -> Iterable[SessionMessage]:
    mine = current().principal.session
    for session in sessions:
        yield SessionMessage(
            id=session.id,
            created_at=session.created_at,
            last_used_at=session.rotated_at,
            expires_at=session.expires_at,
            user_agent=session.user_agent,
            address=session.address,
            current=session.id == mine,
        )


def _wrong(*, commit: bool = False) -> Refused:
    message = "The e-mail address or the password is wrong."
    return Unauthenticated(message, reason="invalid_credentials", commit=commit)


def _unusable() -> Refused:
    message = "The refresh token is unknown, expired, or of a session that has ended: log in again."
    return Unauthenticated(message, reason="invalid_refresh_token")
