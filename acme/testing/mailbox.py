"""The mails that the platform would have sent, read from the folder of the `mailbox:` driver."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Final

from acme.drivers.mailbox import KeptMail, mails

_LOOK: Final = 0.01
"""Seconds between two looks at the folder."""


class Mailbox:
    """All mails of one platform."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def list(self, to: str = "") -> list[KeptMail]:
        """The mails so far, the one asked for last first; those to one address, if given. Ids tell that order: two that
        were asked for one after the other may well leave the other way round."""
        found = [mail for mail in mails(self._folder) if to in ("", mail.to)]
        return sorted(found, key=lambda mail: mail.id, reverse=True)

    async def wait(self, to: str, *, number: int = 1, limit: float = 10.0) -> KeptMail:
        """The mail to an address that was asked for last, once there are `number`: mail leaves after the commit that asked
        for it.

        Raises:
            AssertionError: there are fewer after `limit` seconds.
        """
        until = time.monotonic() + limit
        while len(found := self.list(to)) < number:
            if time.monotonic() > until:
                raise AssertionError(f"{len(found)} mails to {to} after {limit:g} s, expected {number}")
            await asyncio.sleep(_LOOK)
        return found[0]
