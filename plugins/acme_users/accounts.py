"""Accounts: sign-up, proof of an address, one's own profile.

An account whose address is unproved does not own it. Any number of people may sign up with the address meanwhile: the first
gets the account, the others leave a *pending sign-up* with their token. Whoever proves the address first has it: the first
one keeps the account, a pending one gets a fresh account, and the unproved one loses address, password and sessions in the
same transaction. So nobody can wait in somebody else's account for its owner to prove the address.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Final, NoReturn

from acme import Clock, Fault, Invalid, NotFound, Stale, authorise, events, new_id, work
from acme.contracts.users.v1 import (
    CreateUserReply,
    CreateUserRequest,
    GetMeRequest,
    SessionRevoked,
    UpdateMeRequest,
    User,
    UserCreated,
    UserEmailVerified,
    UsersBase,
    UserUpdated,
    VerifyEmailRequest,
)
from acme_users import passwords
from acme_users.addresses import Address
from acme_users.mails import Mails
from acme_users.passwords import Passwords
from acme_users.store import AccountStore, AuthorityStore, Holder, NewAccount, SessionStore, Verification

TOKEN_LIFE: Final = timedelta(hours=24)
"""For so long a token proves an address."""
MUTABLE: Final = ("display_name",)
"""Fields that an update mask may name."""

_TOKEN_PREFIX: Final = "acv_"  # noqa: S105 - it makes leaked tokens recognisable; the secret comes after it


class Users(UsersBase):
    """Keeps the contract `acme.users.v1.Users`."""

    def __init__(
        self,
        store: AccountStore,
        sessions: SessionStore,
        authority: AuthorityStore,
        passwords: Passwords,
        mails: Mails,
        clock: Clock,
        region: str,
    ) -> None:
        self._store, self._sessions, self._authority = store, sessions, authority
        self._passwords, self._mails, self._clock, self._region = passwords, mails, clock, region

    async def create_user(self, message: CreateUserRequest) -> CreateUserReply:
        """Signs up. Every branch hashes once, writes one mail, commits once and gives the same reply.

        Raises:
            Invalid: not an address, or a password that nobody may choose.
            Unavailable: too many log-ins at the moment.
        """
        try:
            address = Address.parse(message.email)
        except ValueError as error:
            fault = Fault("/email", "format", "An e-mail address is expected, such as ann@example.com.")
            raise Invalid("The e-mail address is none.", faults=[fault]) from error
        passwords.check(message.password)
        password_hash = await self._passwords.hash(message.password)
        async with work(last=True):
            await self._sign_up(self._newcomer(address, password_hash, message.display_name))
        return CreateUserReply()

    async def verify_email(self, message: VerifyEmailRequest) -> User:
        """Gives the address to the token's account or pending sign-up.

        Raises:
            Invalid: the token is unknown, used or expired, or somebody else has proved the address.
        """
        now = self._clock.now()
        token = await self._store.verification(_digest(message.token), at=now)
        if token is None:
            _void()
        holder = await self._store.lock_holder(token.address.key)
        # Of several tokens of an address used at once, the first to get here takes all of them with it.
        if token.digest not in await self._store.consume_verifications(token.address.key):
            _void()
        if holder is not None and holder.verified:
            _void()
        if token.pending is None:
            if holder is None or holder.id != token.user_id:
                _void()
            await self._store.mark_verified(holder.id, at=now)
            return await self._proved(holder.id, now)
        newcomer = self._newcomer(token.address, *token.pending)
        epoch = None if holder is None else await self._strip(holder, now)
        if not await self._store.create_account(newcomer, verified_at=now, at=now):
            _void()
        self._tell_created(newcomer, now)
        user = await self._proved(newcomer.id, now)
        if holder is not None and epoch is not None:
            await self._authority.announce(subject=holder.id, epoch=epoch, at=now)
        return user

    async def get_me(self, message: GetMeRequest) -> User:
        return await self._user(authorise.own("users.me.read"))

    async def update_me(self, message: UpdateMeRequest) -> User:
        """Sets the fields that the mask names; an empty mask changes nothing.

        Raises:
            Invalid: the mask names a field that nobody can set.
            Stale: the account has another version than `if_match`.
        """
        user_id = authorise.own("users.me.update")
        paths = message.update_mask.paths if message.update_mask is not None else []
        if unknown := sorted(set(paths).difference(MUTABLE)):
            faults = [Fault("/update_mask", "unknown_field", f"{path} cannot be changed") for path in unknown]
            raise Invalid(f"An update may name {', '.join(MUTABLE)}.", faults=faults)
        now = self._clock.now()
        changed = bool(paths) and await self._store.rename(
            user_id, message.display_name, version=message.if_match, at=now
        )
        user = await self._user(user_id)
        if not changed and message.if_match is not None and message.if_match != user.version:
            raise Stale(
                f"The account has version {user.version} now: read it again, then repeat your change.",
                reason="version_mismatch",
            )
        if changed:
            events.add(UserUpdated(user_id=user_id, version=user.version, updated_at=now))
        return user

    def _newcomer(self, address: Address, password_hash: bytes, display_name: str) -> NewAccount:
        ids = new_id("usr", self._clock), new_id("org", self._clock)
        return NewAccount(ids[0], address, password_hash, display_name, ids[1], self._region)

    async def _sign_up(self, newcomer: NewAccount) -> None:
        now = self._clock.now()
        if await self._store.create_account(newcomer, verified_at=None, at=now):
            self._tell_created(newcomer, now)
            await self._ask_for_proof(newcomer, newcomer.id, now)
            return
        holder = await self._store.lock_holder(newcomer.address.key)
        if holder is not None and holder.verified:
            # To the address that was proved: the one typed now may be another mailbox that we take for the same.
            self._mails.already_signed_up(holder.email)
        else:
            await self._ask_for_proof(newcomer, None, now)

    async def _ask_for_proof(self, newcomer: NewAccount, user_id: str | None, now: datetime) -> None:
        """Sends a token for an account that exists, or for a pending sign-up."""
        token = _TOKEN_PREFIX + secrets.token_urlsafe(32)
        pending = (newcomer.password_hash, newcomer.display_name) if user_id is None else None
        verification = Verification(_digest(token), newcomer.address, user_id, pending)
        await self._store.add_verification(verification, expires_at=now + TOKEN_LIFE)
        self._mails.verify_address(newcomer.address.text, token)

    async def _strip(self, holder: Holder, now: datetime) -> int:
        """Takes address, password and sessions from an account; returns the epoch below which its tokens are dead."""
        epoch = await self._store.strip(holder.id, at=now)
        for session_id in await self._sessions.revoke_sessions(holder.id, at=now):
            events.add(SessionRevoked(user_id=holder.id, session_id=session_id, reason="address_lost", revoked_at=now))
        return epoch

    def _tell_created(self, account: NewAccount, now: datetime) -> None:
        events.add(
            UserCreated(
                user_id=account.id, organization_id=account.organization_id, region=account.region, created_at=now
            )
        )

    async def _proved(self, user_id: str, now: datetime) -> User:
        events.add(UserEmailVerified(user_id=user_id, verified_at=now))
        return await self._user(user_id)

    async def _user(self, user_id: str) -> User:
        account = await self._store.account(user_id)
        if account is None:
            raise NotFound("There is no such account.")
        return User(
            id=account.id,
            email=account.email,
            email_verified=account.email_verified,
            display_name=account.display_name,
            organization_id=account.organization_id,
            region=account.region,
            created_at=account.created_at,
            updated_at=account.updated_at,
            version=account.version,
        )


def _digest(token: str) -> bytes:
    """What is stored of a token. 256 random bits need no salt and no slow hash."""
    return hashlib.sha256(token.encode()).digest()


def _void() -> NoReturn:
    """One answer for every token that proves nothing: which reason it is would tell of other people's sign-ups."""
    message = "The token is unknown, used or expired: sign up again to get another one."
    raise Invalid(message, reason="token_invalid", faults=[Fault("/token", "token_invalid", message)])
