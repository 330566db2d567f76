"""The mails. Nothing in them was typed by whoever caused them: an address is all it takes to make us send one, so a display
name in it would let anybody send a text of their own to anybody, in our name.

Invitations are the exception, because nobody can accept what it does not know: they name the organisation. Who sends one has
proved an address of its own, which the mail names too, and of the organisation's name there is what a name needs (see
`_tame`): neither a link nor more than a few words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from acme import mail

NAME: Final = 40
"""Characters that a mail shows of a name."""


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

    def invitation(self, to: str, token: str, sender: str, organization: str, project: str) -> None:
        """Invites to an organisation, or to a project in it (`project` is "" for none). `sender` is a proved address, or ""
        when a program invites."""
        link = f"{self.public_url}/accept-invitation?token={quote(token, safe='')}"
        what = f"the organisation {_tame(organization)}"
        if project:
            what = f"the project {_tame(project)} of {what}"
        text = f"""\
{sender or "An automatic service"} invites you to {what}.

To accept, open this link within seven days, logged in with the account of this e-mail address. If you have none, sign up
with this address first:

{link}

Without a browser, with an access token of that account:

curl -X POST {self.public_url}/v1/invitations:accept \\
  -H 'Authorization: Bearer '"$TOKEN" -H 'Content-Type: application/json' -d '{{"token": "{token}"}}'

If you do not know the sender, there is nothing to do: without you nothing happens.
"""
        mail.add(to=to, subject="You are invited", text=text, links=(link,))

    def ownership_offered(self, to: str, organization: str, organization_id: str) -> None:
        """Tells a member that it can become the owner of an organisation."""
        text = f"""\
An owner of the organisation {_tame(organization)} offers you its ownership.

To accept, within 24 hours, log in at {self.public_url}, or:

curl -X POST {self.public_url}/v1/organizations/{organization_id}:acceptTransfer \\
  -H 'Authorization: Bearer '"$TOKEN" -H 'Content-Type: application/json' -d '{{}}'

If you do not want it, there is nothing to do.
"""
        mail.add(to=to, subject="You are offered an organisation", text=text)


def _tame(name: str) -> str:
    """A name that somebody typed, as a mail may show it: words and no address, and no more than a name needs."""
    words = "".join(letter if letter.isalnum() or letter in " -&'" else " " for letter in name).split()
    return '"' + " ".join(words)[:NAME].strip() + '"'
