"""How `acme mailbox` shows mails."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import msgspec
import typer

from acme.runtime.datafolder import KeptMail


def print_json(mails: Sequence[KeptMail]) -> None:
    """A JSON array, newest first; each mail has id, at, to, subject, text and links."""
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(mails)) + b"\n")
    sys.stdout.buffer.flush()


def print_list(mails: Sequence[KeptMail]) -> None:
    """For people. What a mail says is shown without control characters: somebody else may have written it."""
    if not mails:
        typer.echo("No mails.")
    for number, mail in enumerate(mails):
        if number:
            typer.echo("─" * 72)
        typer.echo(
            f"To:      {_plain(mail.to)}\nDate:    {mail.at:%Y-%m-%d %H:%M:%S} UTC\nSubject: {_plain(mail.subject)}\n"
        )
        typer.echo("\n".join(_plain(line) for line in mail.text.strip().splitlines()))


def _plain(text: str) -> str:
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
