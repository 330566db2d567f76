"""The mail with a token to set another password: looked into and written after the reply.

Whether the address leads to an account is first asked when whoever asked for the reset has the answer. So the time of the
answer has nothing to tell.
"""

from __future__ import annotations

from typing import Any, Final

from acme import Attempt, Resources, deliver, work
from acme_users.account_mails import AccountMails
from acme_users.addresses import Address
from acme_users.mail_tokens import MailTokens
from acme_users.store import AccountStore, MailTokenStore, Purpose

RESET: Final = "password_reset"
"""Kind of the delivery."""


def ask(address: Address) -> None:
    """Somebody wants to set another password: sends a mail after the commit, whatever there is to say."""
    deliver(RESET, address.text.encode())


async def asked(resources: Resources[Any], attempt: Attempt) -> None:
    """Carries out `ask`."""
    address, database = Address.parse(attempt.payload.decode()), resources.database
    mails = AccountMails(resources.public_url)
    async with work():
        holder = await AccountStore(database).holder(address.key)
        if holder is None or not holder.verified:
            mails.no_account(address.text)
            return
        tokens = MailTokens(MailTokenStore(database))
        token = await tokens.issue(Purpose.RESET_PASSWORD, holder.id, address, now=resources.clock.now())
        # To the address that was proved: the one typed now may be another mailbox that we take for the same.
        mails.reset_password(holder.email, token)
