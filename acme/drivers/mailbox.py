"""`mailbox:` keeps mails as files instead of sending them: one JSON file a mail, named by its id.

Readable by `acme mailbox`, by the test kit and by any editor, whether or not the platform runs. Writing the same id again
replaces the file, so a mail sent twice is there once. Files are 0600 in a 0700 folder: mails hold links that log people in.
"""

from __future__ import annotations

import asyncio
import os
from datetime import datetime
from pathlib import Path

import msgspec

from acme.ports import Clock, Mail


class KeptMail(msgspec.Struct, frozen=True):
    """A mail as it is kept."""

    id: str
    at: datetime
    to: str
    subject: str
    text: str
    links: tuple[str, ...] = ()


class Mailbox:
    """`ports.Mailer` into a folder."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder, self._clock = folder, clock

    async def send(self, mail: Mail) -> None:
        await asyncio.to_thread(self._keep, mail)  # fsync takes milliseconds

    def _keep(self, mail: Mail) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / f"{mail.id}.json"
        at = read(path).at if path.exists() else self._clock.now()
        kept = KeptMail(mail.id, at, mail.to, mail.subject, mail.text, mail.links)
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(kept)))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)

    async def close(self) -> None:
        """Nothing is held."""


def read(path: Path) -> KeptMail:
    """One kept mail."""
    return msgspec.json.decode(path.read_bytes(), type=KeptMail)


def mails(folder: Path) -> list[KeptMail]:
    """All kept mails, newest first; none when the folder does not exist."""
    kept = [read(path) for path in folder.glob("*.json")] if folder.is_dir() else []
    return sorted(kept, key=lambda mail: (mail.at, mail.id), reverse=True)
