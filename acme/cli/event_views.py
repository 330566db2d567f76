"""How `acme events` shows what it has found. Texts of others are shown without control characters."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, TypeAlias

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from acme.ports import Received, TopicPartition
from acme.runtime.operating import Behind, Letter, Shown

_WIDTH = 400
"""Columns: a terminal breaks lines where it ends, and rich would cut ids there."""

Changes: TypeAlias = list[tuple[TopicPartition, int, int]]


class Opened(msgspec.Struct, frozen=True, omit_defaults=True):
    """A dead letter, opened."""

    letter: Letter
    record: Shown
    headers: dict[str, str]
    raw_key: str = ""
    raw_value: str = ""
    """Hexadecimal."""


def opened(letter: Letter, record: Received, shown: Shown, *, raw: bool) -> Opened:
    """A letter with its record; with its bytes if `raw`, for personal data may be in them."""
    return Opened(
        letter=letter,
        record=shown,
        headers={name: value.decode(errors="replace") for name, value in record.headers},
        raw_key=(record.key or b"").hex() if raw else "",
        raw_value=(record.value or b"").hex() if raw else "",
    )


def json_line(record: Shown) -> str:
    """One JSON object."""
    return msgspec.json.encode(record).decode()


def text_line(record: Shown) -> str:
    """One line for people."""
    place = f"{record.topic}[{record.partition}]@{record.offset}"
    said = record.error or msgspec.json.encode(record.event).decode()
    return plain(f"{record.at:%Y-%m-%d %H:%M:%S} {place} {record.type} {record.key} {said}")


def print_lag(found: Sequence[Behind], *, as_json: bool) -> None:
    """A table, or a JSON array of objects with the fields of `Behind`."""
    if as_json:
        _print_json(found)
        return
    table = _table("Consumer", "Topic", "Events behind", "Seconds behind", "Dead letters")
    for each in found:
        table.add_row(each.consumer, each.topic, str(each.messages), f"{each.seconds:.1f}", str(each.letters))
    _print(table, found, "No plugin has a consumer.")


def print_letters(found: Sequence[Letter], *, as_json: bool) -> None:
    """A table, or a JSON array of objects with the fields of `Letter`."""
    if as_json:
        _print_json(found)
        return
    table = _table("Letter", "Consumer", "Event", "Type", "Key", "State", "Error", "Fingerprint", "Attempts", "Since")
    for each in found:
        table.add_row(
            each.id,
            each.consumer,
            plain(each.event_id),
            plain(each.type),
            plain(each.key),
            each.state,
            each.error,
            each.fingerprint,
            str(each.attempts) if each.error else "",
            f"{each.parked_at:%Y-%m-%d %H:%M:%S}",
        )
    _print(table, found, "No dead letters.")


def print_opened(found: Opened, *, as_json: bool) -> None:
    """Lines of names and values, or one JSON object with the fields of `Opened`."""
    if as_json:
        _print_json(found)
        return
    letter = {name: value for name, value in msgspec.to_builtins(found.letter).items() if value not in ("", None)}
    for name, value in letter.items():
        typer.echo(f"{name + ':':<13} {plain(str(value))}")
    for name, text in found.headers.items():
        typer.echo(f"{'header:':<13} {plain(name)}: {plain(text)}")
    shown = found.record.error or msgspec.json.encode(found.record.event).decode()
    typer.echo(f"{'content:':<13} {plain(shown)}")
    if found.raw_value:
        typer.echo(f"{'raw key:':<13} {found.raw_key}\n{'raw value:':<13} {found.raw_value}")


def print_reset(changes: Changes, *, dry_run: bool, as_json: bool) -> None:
    """A line for each partition, or a JSON array of objects."""
    if as_json:
        _print_json([{"topic": p.topic, "partition": p.partition, "from": old, "to": new} for p, old, new in changes])
        return
    for place, old, new in changes:
        verb = "would go" if dry_run else "goes"
        typer.echo(f"{place.topic}[{place.partition}] {verb} from {old} to {new}")
    if not changes:
        typer.echo("It is there already.")


def print_changed(found: Sequence[Letter], verb: str, *, running: bool, dry_run: bool, as_json: bool) -> None:
    """What was ordered or done, and when it has its effect."""
    if as_json:
        _print_json({"dry_run": dry_run, "running": running, "letters": found})
        return
    would = "would be" if dry_run else ("to be" if verb == "replayed" else "are")
    for each in found:
        typer.echo(plain(f"{each.id} {each.event_id} {each.key} {each.error or 'waiting'}"))
    letters = f"{len(found)} letter{'' if len(found) == 1 else 's'}"
    if not found:
        typer.echo("No letter is meant.")
    elif dry_run or verb == "discarded":
        typer.echo(f"{letters} {would} {verb}.")
    else:
        when = "within seconds" if running else "at the next start: nothing of the platform runs here"
        typer.echo(f"{letters} {would} {verb} {when}.")


def plain(text: str) -> str:
    """Without control characters: whoever wrote it may have been anybody."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def _print(table: Table, rows: Sequence[Any], nothing: str) -> None:
    if rows:
        Console(highlight=False, soft_wrap=True, width=_WIDTH, markup=False).print(table)
    else:
        typer.echo(nothing)


def _print_json(value: Any) -> None:
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(value)) + b"\n")
    sys.stdout.buffer.flush()


def _table(*titles: str) -> Table:
    table = Table(box=None, padding=(0, 2), header_style="cyan")
    for title in titles:
        table.add_column(title, no_wrap=True)
    return table
