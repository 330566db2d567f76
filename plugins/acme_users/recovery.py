"""Setting another password: by whoever knows the old one, or by mail.

By mail only where the address was proved. An account whose address is unproved may be anybody's: whoever resets its
password would own what a stranger has put into it, beside whomever the stranger invited (account pre-hijacking). So its
mail says to sign up again, and proving that gives a fresh account: see `accounts.py`.

Either way every token in a mail is void that could change the password or the address, with one exception: what undoes a
move of the account stays good for its seven days, because a thief can change passwords, too.
"""

from __future__ import annotations

from acme import Clock, Fault, Invalid, NotFound, audit, authorise, current, events, work
from acme.contracts.users.v1 import (
    ChangePasswordRequest,
    RequestPasswordResetRequest,
    ResetPasswordRequest,
    UserPasswordChanged,
)
from acme_users import reset_mails
from acme_users.account_mails import AccountMails
from acme_users.addresses import Address
from acme_users.choice import Choice
from acme_users.mail_tokens import MailTokens, void
from acme_users.passwords import Passwords
from acme_users.proof import Proof, wrong_password
from acme_users.signout import SignOut
from acme_users.store import Credentials, CredentialStore, MailTokenStore, Purpose
from acme_users.throttles import Throttles


class Recovery:
    """What `Users` does about passwords."""

    def __init__(
        self,
        store: CredentialStore,
        token_store: MailTokenStore,
        tokens: MailTokens,
        sign_out: SignOut,
        choice: Choice,
        passwords: Passwords,
        proof: Proof,
        throttles: Throttles,
        mails: AccountMails,
        clock: Clock,
    ) -> None:
        self._store, self._token_store, self._tokens = store, token_store, tokens
        self._sign_out, self._choice, self._passwords, self._proof = sign_out, choice, passwords, proof
        self._throttles, self._mails, self._clock = throttles, mails, clock

    async def change(self, message: ChangePasswordRequest) -> None:
        """Two computations: the old password compared, the new one hashed.

        Raises:
            Denied: the old password is wrong (`invalid_credentials`).
            Exhausted: too many attempts at the account's password, wherever.
            Invalid: nobody may choose the new one.
        """
        user_id = authorise.own("users.me.credentials")
        credentials = await self._store.of(user_id)
        if credentials is None:
            raise NotFound("There is no such account.")
        self._check(message.new_password, credentials)
        await self._proof.prove(
            credentials.address.key,
            user_id,
            credentials.password_hash,
            message.current_password,
            wrong_password(commit=True),
        )
        audit.about(target=user_id)
        password_hash = await self._passwords.hash(message.new_password)
        async with work(last=True):
            locked = await self._store.lock(user_id)
            if locked is None or locked.password_hash != credentials.password_hash:
                raise wrong_password()  # it was changed while we compared
            now = self._clock.now()
            await self._store.set_password(user_id, password_hash, at=now)
            await self._token_store.void(user_id)
            ended = await self._sign_out.sessions(
                user_id, keep=current().principal.session, reason="password_changed", now=now
            )
            events.add(UserPasswordChanged(user_id=user_id, reset=False, changed_at=now))
            self._mails.password_changed(locked.address.text)
            await self._sign_out.announce_sessions(ended, now=now)

    async def request_reset(self, message: RequestPasswordResetRequest) -> None:
        """Does the same for every address, and looks none up; nothing once the address got too many of these.

        Raises:
            Invalid: not an address.
        """
        address = parse(message.email, "/email")
        if await self._throttles.may_reset(address):
            reset_mails.ask(address)

    async def reset(self, message: ResetPasswordRequest) -> None:
        """One computation, and none for a token that is good for nothing: guessing one is hopeless.

        Raises:
            Invalid: the token is good for nothing, or nobody may choose the password.
        """
        user_id, token = await self._tokens.find(message.token, Purpose.RESET_PASSWORD, now=self._clock.now())
        credentials = _still(await self._store.of(user_id), token.address)
        self._check(message.new_password, credentials)
        password_hash = await self._passwords.hash(message.new_password)
        async with work(last=True):
            credentials = _still(await self._store.lock(user_id), token.address)
            await self._tokens.use(token)
            now = self._clock.now()
            await self._store.set_password(user_id, password_hash, at=now)
            await self._token_store.void(user_id)
            audit.about(actor=user_id, target=user_id)
            await self._throttles.forget(credentials.address.key)
            gone = await self._sign_out.everything(user_id, reason="password_reset", now=now)
            events.add(UserPasswordChanged(user_id=user_id, reset=True, changed_at=now))
            self._mails.password_reset(credentials.address.text)
            await self._sign_out.announce(gone, now=now)

    def _check(self, password: str, credentials: Credentials) -> None:
        own = (credentials.address.text, credentials.display_name)
        self._choice.check(password, own, pointer="/new_password")


def parse(text: str, pointer: str) -> Address:
    """Raises `Invalid` for what is not an address."""
    try:
        return Address.parse(text)
    except ValueError as error:
        fault = Fault(pointer, "format", "An e-mail address is expected, such as ann@example.com.")
        raise Invalid("The e-mail address is none.", faults=[fault]) from error


def _still(credentials: Credentials | None, address: Address) -> Credentials:
    """The account's, if it still has the address that the token went to, and proved it."""
    if credentials is None or not credentials.verified or credentials.address.key != address.key:
        void()
    return credentials
