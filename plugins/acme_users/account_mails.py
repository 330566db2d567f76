"""The mails to people who have an account, about getting into it and about its address.

As in `mails.py`, nothing in them was typed by whoever caused them. Not even an address: a warning that names the address
an account is moving to would let anybody put a text of their own into our mail, within what an address may hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from acme import mail


@dataclass(frozen=True, slots=True)
class AccountMails:
    """Writes mails into the current unit of work; they leave after its commit."""

    public_url: str
    """Origin of the links, from the configuration and never from a request."""

    # ---- passwords ----------------------------------------------------------------------------------------------

    def reset_password(self, to: str, token: str) -> None:
        """The token with which the owner sets another password."""
        text = f"""\
Somebody, we hope you, asked to set another password for your account.

To set one, open this link within an hour:

{self._link("reset-password", token)}

Without a browser:

{self._command("resetPassword", f'{{"token": "{token}", "new_password": "…"}}')}

Every device is signed out then, and every access token of yours ends. If it was not you, do nothing: your password stays.
"""
        mail.add(to=to, subject="Set another password", text=text, links=(self._link("reset-password", token),))

    def no_account(self, to: str) -> None:
        """A reset was asked for an address that leads to no account, or to one that nobody proved it for."""
        text = f"""\
Somebody, perhaps you, asked to set another password for an account with this e-mail address. There is none that the
address was confirmed for. If you have an account, it has another address; if you signed up with this one before and did
not confirm it, sign up again at {self.public_url} and open the link in the mail.

If it was not you, there is nothing to do.
"""
        mail.add(to=to, subject="There is no account with this address", text=text)

    def password_changed(self, to: str) -> None:
        """The password was changed by somebody who was logged in and knew the old one."""
        text = f"""\
The password of your account was changed. Every other device is signed out.

If it was not you, set another password at once: {self.public_url}/forgot-password
"""
        mail.add(to=to, subject="Your password was changed", text=text)

    def password_reset(self, to: str) -> None:
        """The password was set with a token from a mail."""
        text = f"""\
The password of your account was set anew with the link from our mail. Every device is signed out, and every access token
of yours has ended.

If it was not you, somebody reads your mail: change the password of your mailbox, then this one at
{self.public_url}/forgot-password
"""
        mail.add(to=to, subject="Your password was set anew", text=text)

    # ---- addresses ----------------------------------------------------------------------------------------------

    def confirm_address(self, to: str, token: str) -> None:
        """The token that moves an account to this address."""
        text = f"""\
Somebody, we hope you, asked to move their account to this e-mail address.

To confirm that it is yours, open this link within 24 hours:

{self._link("confirm-email", token)}

Without a browser:

{self._command("confirmEmailChange", f'{{"token": "{token}"}}')}

If it was not you, do nothing. Do not open the link to somebody else's account, whoever asks you to.
"""
        mail.add(
            to=to, subject="Confirm your new e-mail address", text=text, links=(self._link("confirm-email", token),)
        )

    def address_in_use(self, to: str) -> None:
        """Tells the owner of an address that somebody tried to move another account to it."""
        text = f"""\
Somebody, perhaps you, asked to move their account to this e-mail address. It belongs to an account already, or did until
a few days ago, so nothing was changed.

Log in with it at {self.public_url}. If it was not you, there is nothing to do.
"""
        mail.add(to=to, subject="This address belongs to an account", text=text)

    def change_requested(self, to: str) -> None:
        """Warns the address that an account may be about to leave."""
        text = f"""\
Somebody who is logged in to your account, we hope you, asked to move it to another e-mail address. It moves when the link
in the mail to that address is opened; we shall tell you, and you can undo it for seven days.

If it was not you, set another password at once, which also stops the move: {self.public_url}/forgot-password
"""
        mail.add(to=to, subject="Your account is about to move to another address", text=text)

    def address_changed(self, to: str, token: str) -> None:
        """Tells the address that an account has left, with the token that undoes it."""
        text = f"""\
Your account was moved to another e-mail address, as somebody asked who was logged in to it. If that was you, there is
nothing to do.

If it was not you, open this link within seven days: the account comes back to this address, every device is signed out,
and we send you a mail to set another password.

{self._link("undo-email-change", token)}

Without a browser:

{self._command("undoEmailChange", f'{{"token": "{token}"}}')}
"""
        links = (self._link("undo-email-change", token),)
        mail.add(to=to, subject="Your account was moved to another address", text=text, links=links)

    def address_taken_back(self, to: str) -> None:
        """Tells the address that an account had for a while that it went back."""
        text = """\
The account that was moved to this e-mail address went back to the address it had before, as somebody asked who reads that
address's mail. Every device is signed out.
"""
        mail.add(to=to, subject="Your account went back to its former address", text=text)

    def address_left(self, to: str) -> None:
        """Somebody signed up with an address that an account left a few days ago, and may come back to."""
        text = """\
Somebody, perhaps you, signed up with this e-mail address. It belonged to an account that was moved to another address less
than seven days ago, so nothing was changed.

If it was not you who moved the account, open the link in the mail that told you so: it undoes the move. If it was you,
sign up once the seven days are over.
"""
        mail.add(to=to, subject="This address had an account until a few days ago", text=text)

    def _link(self, page: str, token: str) -> str:
        return f"{self.public_url}/{page}?token={quote(token, safe='')}"

    def _command(self, method: str, body: str) -> str:
        return f"curl -X POST {self.public_url}/v1/users:{method} \\\n  -H 'Content-Type: application/json' -d '{body}'"
