"""Step-up: proving again who is there, for methods that ask for a fresh log-in (RFC 9470)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from acme import Clock, Denied, Unauthenticated, audit, authorise, current, work
from acme.contracts.users.v1 import StepUpReply, StepUpRequest
from acme_users.proof import Proof, wrong_password
from acme_users.signing import AccessTokens
from acme_users.store import AccountStore, CredentialStore, SessionStore

_SESSION: Final = "ses_"


class StepUp:
    """What `Sessions` does about log-ins that are not fresh any more."""

    def __init__(
        self,
        accounts: AccountStore,
        credentials: CredentialStore,
        sessions: SessionStore,
        proof: Proof,
        access: AccessTokens,
        clock: Clock,
    ) -> None:
        self._accounts, self._credentials, self._sessions = accounts, credentials, sessions
        self._proof, self._access, self._clock = proof, access, clock

    async def step_up(self, message: StepUpRequest) -> StepUpReply:
        """One computation.

        Raises:
            Denied: the password is wrong (`invalid_credentials`), or the caller has no session (`step_up_impossible`).
            Exhausted: too many attempts at the account's password, wherever.
            Unauthenticated: the session has ended meanwhile.
        """
        user_id, session_id = authorise.own("sessions.step_up"), current().principal.session
        if not session_id.startswith(_SESSION):
            text = "An access token for programs is no log-in: use one of a session."
            raise Denied(text, reason="step_up_impossible")
        credentials = await self._credentials.of(user_id)
        if credentials is None:
            raise _ended()
        kept = credentials.password_hash
        wrong = wrong_password(commit=True)
        await self._proof.prove(credentials.address.key, user_id, kept, message.password, wrong)
        if kept is None:
            raise wrong_password()  # never: nothing is made of what there is not
        async with work():
            if not await self._accounts.hold_password(user_id, kept):
                raise wrong_password()  # it was changed while we compared
            session = await self._sessions.lock_session(session_id)
            now = self._clock.now()
            if session is None or session.user_id != user_id:
                raise _ended()
            if session.revoked_at is not None or session.expires_at <= now:
                raise _ended()
            await self._sessions.renew(session_id, at=now)
            identity = await self._accounts.identity(user_id)
            audit.about(target=session_id)
            audit.done()
        return StepUpReply(
            access_token=await self._access.issue(identity, replace(session, authenticated_at=now)),
            token_type="Bearer",  # noqa: S106 - the name of a scheme (RFC 6750)
            expires_in=int(self._access.life.total_seconds()),
        )


def _ended() -> Unauthenticated:
    return Unauthenticated("The session has ended: log in again.", reason="token_revoked")
