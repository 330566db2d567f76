"""How often somebody may try: one counter an account for every way to prove its password, one an address of a client, and
one for mails.

**Accounts.** A success forgets all failures before it. After the fifth in a row the next attempt waits 1 s, then 2, 4, 8 …
up to 15 minutes, and after 100 attempts none is looked at any more (SP 800-63B-4, section 3.2.2) before the password is
reset by mail. Attempts are counted before they are looked at: twenty may be looked at beside each other, and once five
have failed, one, so that many at once guess no more than many in a row. Log-in, step-up and the change of a password
share the counter, because whoever may try each is allowed too many (CVE-2025-64102). It belongs to the address that was
typed, and counts the same where nobody has it.

**Addresses.** An address of a client, of IPv6 its /64, that failed on 50 different accounts within 10 minutes tries lists
of stolen passwords: none of its attempts is looked at before fewer failures are that young.

**Mails.** Whoever knows an address can make us send it something: five an hour at most, and nobody is told of the sixth.
Mails with a token to set another password count by themselves: who is kept from logging in is not kept from these, too.

An attempt that is not looked at is answered 429 whatever the password, after as much hashing as any other. What is kept
are MACs of the names: the tables tell nobody who tried what.
"""

from __future__ import annotations

import ipaddress
import math
import unicodedata
from datetime import datetime, timedelta
from typing import Final

from acme import Cipher, Clock, Exhausted
from acme_users.addresses import Address
from acme_users.store import Admission, Crowd, Pauses, ThrottleStore

FREE: Final = 5
"""Failures up to which there is no pause."""
AT_ONCE: Final = 20
"""Attempts looked at beside each other, while fewer than `FREE` have failed."""
LOST: Final = timedelta(minutes=1)
"""An attempt takes less. One that nobody finished in this time was lost with its process."""
MOST: Final = 100
"""Attempts without a success, at most."""
LONGEST: Final = 900.0
"""Seconds of the longest pause."""
DELAYS: Final = tuple(0.0 if number < FREE else min(LONGEST, 2.0 ** (number - FREE)) for number in range(1, MOST + 1))
"""Seconds of pause after the first failure in a row, the second … the last."""

CROWD: Final = 50
"""Accounts on which one address of a client may fail within `WINDOW`."""
WINDOW: Final = timedelta(minutes=10)

MAILS: Final = 5
"""Mails to one address within `MAIL_WINDOW` that anybody may cause."""
MAIL_WINDOW: Final = timedelta(hours=1)
INVITATIONS_BY: Final = 100
"""Invitations that one user, or all service accounts of an organisation, may send within `MAIL_WINDOW`."""
INVITATIONS_TO: Final = 20
"""Invitations mailed to one address within `MAIL_WINDOW`, whoever sends them."""

KEPT: Final = timedelta(days=90)
"""For so long after the last attempt the counter of an account is kept."""


class Throttles:
    """Counts attempts and mails, for all processes of the service together."""

    def __init__(self, store: ThrottleStore, cipher: Cipher, clock: Clock) -> None:
        self._store, self._cipher, self._clock = store, cipher, clock

    async def admit(self, account: str, address: str) -> Exhausted | None:
        """Counts an attempt; the refusal, when it is not to be looked at. Alone, outside of any unit of work.

        `account` is the key of the address that was typed, `address` the client's.
        """
        now = self._clock.now()
        admission = await self._store.admit(
            self._account(account),
            self._address(address),
            at=now,
            crowd=Crowd(CROWD, now - WINDOW),
            pauses=_pauses(now),
        )
        return None if admission.admitted else _refusal(admission, now)

    async def take_back(self, account: str) -> None:
        """The attempt was not looked at after all."""
        await self._store.take_back(self._account(account))

    async def failed(self, account: str, address: str) -> None:
        """The attempt failed."""
        now = self._clock.now()
        await self._store.fail(self._account(account), self._address(address), at=now, pauses=_pauses(now))

    async def forget(self, account: str) -> None:
        """Somebody proved to be the account's holder."""
        await self._store.forget(self._account(account))

    async def may_mail(self, recipient: Address) -> bool:
        """Counts a mail that a stranger causes; false: it is not to be sent, and nobody is to be told."""
        return await self._take(self._cipher.mac("mail-quotas", recipient.key.encode()), MAILS)

    async def may_reset(self, recipient: Address) -> bool:
        """Counts a mail with a token to set another password; false: as `may_mail`.

        Apart from the others: an hour's worth of these leaves the holder a token that is good, of others it does not.
        """
        return await self._take(self._cipher.mac("reset-quotas", recipient.key.encode()), MAILS)

    async def may_invite(self, sender: str) -> bool:
        """Counts an invitation that somebody sends; false: it is one too many."""
        name = self._cipher.mac("invitation-quotas", sender.encode())
        return await self._take(name, INVITATIONS_BY)

    async def may_be_invited(self, recipient: Address) -> bool:
        """Counts an invitation to an address, whoever sends it; false: its mail is not to be sent, and nobody to be told.

        Counted apart from other mails: nobody keeps the holder from resetting a password.
        """
        return await self._take(self._cipher.mac("invitation-quotas", recipient.key.encode()), INVITATIONS_TO)

    async def _take(self, name: bytes, most: int) -> bool:
        now = self._clock.now()
        return await self._store.take_mail(name, at=now, since=now - MAIL_WINDOW, most=most)

    def _account(self, key: str) -> bytes:
        return self._cipher.mac("throttle-accounts", key.encode("utf-8", "replace"))

    def _address(self, address: str) -> bytes | None:
        network = client_network(address)
        return None if network is None else self._cipher.mac("throttle-addresses", network.encode())


def _pauses(now: datetime) -> Pauses:
    return Pauses(DELAYS, FREE, AT_ONCE, now - LOST)


def typed(text: str) -> str:
    """The account that a log-in counts against: the key of the address, or of what was typed in its place."""
    try:
        return Address.parse(text).key
    except ValueError:
        # The key of no account, and one that a database takes.
        return "not an address: " + unicodedata.normalize("NFKC", text).casefold().replace("\x00", "")


def client_network(address: str) -> str | None:
    """What one client has of the network: an IPv4 address, or an IPv6 /64; `None` where the address is not known."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(parsed.ipv4_mapped or ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


def _refusal(admission: Admission, now: datetime) -> Exhausted:
    """One sentence for every cause: it says nothing of the account."""
    if admission.crowded_since is not None:
        until = admission.crowded_since + WINDOW
    elif admission.attempts >= MOST:
        until = now + timedelta(seconds=LONGEST)
    else:
        until = admission.blocked_until or now  # now: too many beside this one, which takes a moment
    return Exhausted(
        "Too many failed attempts: wait, or set another password by mail, which helps at once.",
        reason="too_many_attempts",
        retry_after=float(max(1, math.ceil((until - now).total_seconds()))),
    )
