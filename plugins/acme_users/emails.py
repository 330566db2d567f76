"""Moving an account to another address, and back.

Asked by somebody whose log-in is fresh, proved by a token in the new mailbox, and undone for seven days by a token in the
old one. A token is for one account, one address and one purpose, so that what was sent to one mailbox is good for nothing
else (newtheatre/stage-door#153), and each move voids what was sent before (heartcombo/devise#3691).

The old address keeps its claim for those seven days: nobody else gets it meanwhile, so that its owner finds the account
when the mail about the move is read late. An old address that was never proved has no claim: it may be a stranger's, to
whom a link that undoes would give the account away. Nor is it warned.
"""

from __future__ import annotations

from typing import Final

from acme import Clock, Fault, Invalid, NotFound, Unavailable, UniqueViolation, audit, authorise, events
from acme.contracts.users.v1 import ChangeEmailRequest, UserEmailChanged
from acme_users.account_mails import AccountMails
from acme_users.addresses import Address
from acme_users.mail_tokens import MailTokens, void
from acme_users.recovery import parse
from acme_users.signout import Gone, SignOut
from acme_users.store import AccountStore, Credentials, CredentialStore, MailTokenStore, Purpose
from acme_users.throttles import Throttles

_UNDONE: Final = "email_change_undone"


class EmailChanges:
    """What `Users` does about addresses of accounts that exist."""

    def __init__(
        self,
        accounts: AccountStore,
        store: CredentialStore,
        token_store: MailTokenStore,
        tokens: MailTokens,
        sign_out: SignOut,
        throttles: Throttles,
        mails: AccountMails,
        clock: Clock,
    ) -> None:
        self._accounts, self._store, self._token_store, self._tokens = accounts, store, token_store, tokens
        self._sign_out, self._throttles, self._mails, self._clock = sign_out, throttles, mails, clock

    async def ask(self, message: ChangeEmailRequest) -> None:
        """Every branch writes one token, and one mail to the new address, or neither once that got too many of them.

        Raises:
            Invalid: not an address, or the account's own.
        """
        user_id = authorise.own("users.me.credentials")
        address = parse(message.new_email, "/new_email")
        now = self._clock.now()
        own = await self._store.of(user_id)
        if own is None:
            raise NotFound("There is no such account.")
        if own.address.key == address.key:
            fault = Fault("/new_email", "unchanged", "The account has this address already.")
            raise Invalid("The account has this address already.", faults=[fault])
        if own.verified:
            self._mails.change_requested(own.address.text)
        holder = await self._accounts.holder(address.key)
        former = await self._token_store.former_holder(address.key, at=now)
        if not await self._throttles.may_mail(address):
            return
        taken = (holder is not None and holder.verified) or former not in (None, user_id)
        token = await self._tokens.issue(Purpose.CHANGE_EMAIL, None if taken else user_id, address, now=now)
        if taken:
            self._mails.address_in_use(address.text if holder is None or not holder.verified else holder.email)
        else:
            self._mails.confirm_address(address.text, token)

    async def confirm(self, text: str) -> str:
        """Returns whose address it is now.

        Raises:
            Invalid: the token is good for nothing, or the address somebody else's by now.
            Unavailable: somebody is signing up with the address at this moment.
        """
        now = self._clock.now()
        user_id, token = await self._tokens.find(text, Purpose.CHANGE_EMAIL, now=now)
        own, holder = await self._store.lock_with_holder(user_id, token.address.key)
        former = await self._token_store.former_holder(token.address.key, at=now)
        if own is None or (holder is not None and holder.verified) or former not in (None, user_id):
            void()
        await self._tokens.use(token)
        audit.about(actor=user_id, target=user_id)
        stripped = await self._move(own, token.address, holder)
        if own.verified:
            undo = await self._tokens.issue(Purpose.UNDO_EMAIL_CHANGE, user_id, own.address, now=now)
            self._mails.address_changed(own.address.text, undo)
        events.add(UserEmailChanged(user_id=user_id, undone=False, changed_at=now))
        await self._sign_out.announce(stripped, now=now)
        return user_id

    async def undo(self, text: str) -> None:
        """Raises `Invalid` for a token that is good for nothing.

        Moves that came later can no longer be undone, earlier ones can: of several addresses the thief's are the later.
        """
        now = self._clock.now()
        user_id, token = await self._tokens.find(text, Purpose.UNDO_EMAIL_CHANGE, now=now)
        own, holder = await self._store.lock_with_holder(user_id, token.address.key)
        if own is None or (holder is not None and holder.verified):
            void()
        await self._tokens.use(token)
        audit.about(actor=user_id, target=user_id)
        stripped = await self._move(own, token.address, holder)
        await self._token_store.void_undos(user_id, since=token.expires_at)
        await self._store.take_password(user_id)
        gone = await self._sign_out.everything(user_id, reason=_UNDONE, now=now)
        await self._throttles.forget(token.address.key)
        reset = await self._tokens.issue(Purpose.RESET_PASSWORD, user_id, token.address, now=now)
        self._mails.reset_password(token.address.text, reset)
        self._mails.address_taken_back(own.address.text)
        events.add(UserEmailChanged(user_id=user_id, undone=True, changed_at=now))
        await self._sign_out.announce(stripped, gone, now=now)

    async def _move(self, own: Credentials, address: Address, holder: Credentials | None) -> Gone | None:
        """Gives the address to the account: whoever signed up with it, and has not proved it, loses it and is returned."""
        now = self._clock.now()
        gone = None if holder is None else await self._sign_out.strip(holder.user_id, now=now)
        try:
            await self._store.move(own.user_id, address, at=now)
        except UniqueViolation as error:
            message = "Somebody is signing up with this address at the moment: try again."
            raise Unavailable(message, reason="address_busy") from error
        await self._accounts.consume_verifications(address.key)
        await self._accounts.void_verifications(own.user_id)
        await self._token_store.void_address(address.key)
        await self._token_store.void(own.user_id)
        return gone
