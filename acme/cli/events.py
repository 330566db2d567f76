"""`acme events …`: what operators do about events, whether the platform runs or not."""

from __future__ import annotations

import os
import pwd
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

from acme.cli.options import AsJson, Data, Overlays, fail, read_settings
from acme.cli.visits import visiting

if TYPE_CHECKING:  # commands import the platform when they are called
    from acme.runtime.operating import Letter, Which
    from acme.runtime.visiting import House

T = TypeVar("T")

app = typer.Typer(help="For operators: topics, lag, dead letters.", no_args_is_help=True)
dlq = typer.Typer(help="Dead letters: what consumers could not handle, and what waits behind it.", no_args_is_help=True)
app.add_typer(dlq, name="dlq")

Letters = Annotated[
    list[str] | None, typer.Argument(metavar="[LETTER]...", help="Letters, as `acme events dlq list` numbers them.")
]
Whose = Annotated[str, typer.Option("--consumer", metavar="PLUGIN.NAME", help="Of this consumer only.")]
Alike = Annotated[str, typer.Option(metavar="TEXT", help="Only those that failed in this way.")]
Key = Annotated[str, typer.Option(metavar="TEXT", help="Only those with this key: ORGANISATION:AGGREGATE.")]
All = Annotated[bool, typer.Option("--all", help="Every letter there is.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]


@app.command()
def tail(
    topics: Annotated[list[str] | None, typer.Argument(metavar="[TOPIC]...", help="Topics. [default: all]")] = None,
    since: Annotated[
        Literal["newest", "earliest"], typer.Option("--from", help="The last few, or all that the topics still hold.")
    ] = "newest",
    count: Annotated[int, typer.Option("--count", "-n", min=0, help="How many the last few are.")] = 10,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with those that come. Ctrl-C ends it.")] = False,
    show_pii: Annotated[
        bool, typer.Option("--show-pii", help="Show personal data, which is masked otherwise.")
    ] = False,
    data: Data = None,
    config: Overlays = None,
    as_json: AsJson = False,
) -> None:
    """Shows events as they are on the bus, decoded. With --json, one object a line."""
    from acme.cli import event_views
    from acme.runtime import operating

    show = event_views.json_line if as_json else event_views.text_line

    async def run(house: House) -> None:
        decoded = operating.Decoded(house.contracts, house.avro, personal=show_pii)
        names = topics or operating.topics(house)
        last = count if since == "newest" else None
        async for record in operating.tail(operating.the_bus(house), names, count=last, follow=follow):
            typer.echo(show(decoded.show(record)))

    _visit(data, config, run)


@app.command()
def lag(
    consumer: Annotated[str, typer.Argument(metavar="[PLUGIN.NAME]", help="A consumer. [default: all]")] = "",
    data: Data = None,
    config: Overlays = None,
    as_json: AsJson = False,
) -> None:
    """Shows how far behind consumers are, in events and in seconds, and how many dead letters they have."""
    from acme.cli import event_views
    from acme.runtime import operating

    async def run(house: House) -> list[operating.Behind]:
        return await operating.lag(house, operating.the_bus(house), consumer)

    event_views.print_lag(_visit(data, config, run), as_json=as_json)


@app.command()
def reset(
    consumer: Annotated[str, typer.Argument(metavar="PLUGIN.NAME", help="A consumer. It must not run.")],
    to: Annotated[Literal["earliest", "latest"], typer.Option(help="Where it goes on.")],
    again: Annotated[
        bool,
        typer.Option(
            "--again", help="Events that it has heard have their effect once more; else they are passed over."
        ),
    ] = False,
    dry_run: DryRun = False,
    data: Data = None,
    config: Overlays = None,
    as_json: AsJson = False,
) -> None:
    """Sets where a consumer goes on: at the first event that its topics hold, or after the last. Leaves an audit record."""
    from acme.cli import event_views
    from acme.runtime import operating

    async def run(house: House) -> event_views.Changes:
        bus = operating.the_bus(house)
        return await operating.reset(house, bus, consumer, to, _operator(), again=again, dry_run=dry_run)

    event_views.print_reset(_visit(data, config, run), dry_run=dry_run, as_json=as_json)


@dlq.command("list")
def list_letters(
    consumer: Whose = "",
    fingerprint: Alike = "",
    key: Key = "",
    data: Data = None,
    config: Overlays = None,
    as_json: AsJson = False,
) -> None:
    """Lists dead letters, the oldest first."""
    from acme.cli import event_views
    from acme.runtime import operating

    async def run(house: House) -> list[Letter]:
        return await operating.list_letters(house, operating.Which((), consumer, fingerprint, key))

    event_views.print_letters(_visit(data, config, run), as_json=as_json)


@dlq.command()
def show(
    letter: Annotated[str, typer.Argument(metavar="LETTER", help="A letter, as `acme events dlq list` numbers it.")],
    show_pii: Annotated[
        bool, typer.Option("--show-pii", help="Show personal data, which is masked otherwise, and the raw bytes.")
    ] = False,
    data: Data = None,
    config: Overlays = None,
    as_json: AsJson = False,
) -> None:
    """Shows all that is kept of a dead letter: headers, the event as far as it can be decoded, how it failed."""
    from acme.cli import event_views
    from acme.runtime import operating

    async def run(house: House) -> event_views.Opened:
        found, record = await operating.show_letter(house, letter)
        decoded = operating.Decoded(house.contracts, house.avro, personal=show_pii).show(record)
        return event_views.opened(found, record, decoded, raw=show_pii)

    event_views.print_opened(_visit(data, config, run), as_json=as_json)


@dlq.command()
def replay(
    letters: Letters = None,
    consumer: Whose = "",
    fingerprint: Alike = "",
    key: Key = "",
    everything: All = False,
    dry_run: DryRun = False,
    data: Data = None,
    config: Overlays = None,
    as_json: AsJson = False,
) -> None:
    """Has dead letters handled again, each with all others of its key, in order. Leaves an audit record.

    It is done where the plugin runs: within seconds, or at the next start.
    """
    from acme.runtime import operating

    which = _which(letters, consumer, fingerprint, key, everything)
    _change(which, operating.order_replay, "replayed", dry_run, data, config, as_json)


@dlq.command()
def discard(
    letters: Letters = None,
    consumer: Whose = "",
    fingerprint: Alike = "",
    key: Key = "",
    everything: All = False,
    dry_run: DryRun = False,
    data: Data = None,
    config: Overlays = None,
    as_json: AsJson = False,
) -> None:
    """Gives dead letters up for good: they never have their effect. Leaves an audit record.

    What waited behind them is handled where the plugin runs: within seconds, or at the next start.
    """
    from acme.runtime import operating

    which = _which(letters, consumer, fingerprint, key, everything)
    _change(which, operating.discard, "discarded", dry_run, data, config, as_json)


def _which(letters: list[str] | None, consumer: str, fingerprint: str, key: str, everything: bool) -> Which:
    from acme.runtime.operating import Which

    if not (letters or consumer or fingerprint or key or everything):
        fail("say which letters: by number, --consumer, --fingerprint or --key, or --all", code=2)
    return Which(tuple(letters or ()), consumer, fingerprint, key)


def _change(
    which: Which,
    do: Callable[[House, list[Letter], str], Awaitable[None]],
    verb: str,
    dry_run: bool,
    data: Path | None,
    config: list[Path] | None,
    as_json: bool,
) -> None:
    from acme.cli import event_views
    from acme.runtime import operating

    async def run(house: House) -> tuple[list[Letter], bool]:
        found = await operating.list_letters(house, which)
        if found and not dry_run:
            await do(house, found, _operator())
        return found, house.running

    found, running = _visit(data, config, run)
    event_views.print_changed(found, verb, running=running, dry_run=dry_run, as_json=as_json)


def _operator() -> str:
    """Who runs this command, as the operating system knows."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _visit(data: Path | None, config: list[Path] | None, run: Callable[[House], Awaitable[T]]) -> T:
    """Runs something in a platform; what goes wrong is one line and exit code 1."""
    return visiting(read_settings(config, data), run)
