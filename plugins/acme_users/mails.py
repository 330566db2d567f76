"""The mails. Nothing in them was typed by whoever caused them: an address is all it takes to make us send one, so a display
name in it would let anybody send a text of their own to anybody, in our name."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from acme import mail


@dataclass(frozen=True, slots=True)
class Mails:
    """Writes mails into the current unit of work; they leave after its commit."""

    public_url: str
    """Origin of the links, from the configuration and never from a request."""

    def verify_address(self, to: str, token: str) -> None:
        """Asks for proof of an address."""
        link = f"{self.public_url}/verify-email?token={quote(token, safe='')}"
        text = f"""\
Somebody, we hope you, signed up with this e-mail address.

To confirm that it is yours, open this link within 24 hours:

{link}

Without a browser:

curl -X POST {self.public_url}/v1/users:verifyEmail \\
  -H 'Content-Type: application/json' -d '{{"token": "{token}"}}'

If it was not you, do nothing: without this confirmation the account never owns your address. Do not open the link to
somebody else's account, whoever asks you to.
"""
        mail.add(to=to, subject="Confirm your e-mail address", text=text, links=(link,))

    def already_signed_up(self, to: str) -> None:
        """Tells the owner of a proved address that somebody tried to sign up with it."""
        text = f"""\
Somebody, perhaps you, signed up with this e-mail address. You already have an account, so nothing was changed, and your
password is the one you chose before.

Log in with it at {self.public_url}. If it was not you, there is nothing to do.
"""
        mail.add(to=to, subject="You already have an account", text=text)
