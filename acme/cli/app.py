"""The commands of `acme`."""

from __future__ import annotations

import os
import sys
from types import TracebackType
from typing import Annotated

import typer
import typer.main

from acme.cli import config, events, plugin, serve
from acme.cli.commands import Commands
from acme.cli.options import AsJson, Data, Overlays, fail, read_settings, rereading, without_collector

app = typer.Typer(
    name="acme",
    cls=Commands,
    help="The Acme Platform: one command starts it, everything embedded.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(plugin.app, name="plugin")
app.add_typer(events.app, name="events")
app.add_typer(config.app, name="config")
app.command()(serve.serve)
app.command()(config.reload)


@app.command()
def up(
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port; when busy, the next free one. [default: 8080]")
    ] = None,
    data: Data = None,
    config: Overlays = None,
    as_json: AsJson = False,
    split: Annotated[
        bool, typer.Option("--split", help="Gateway and plugins in processes of their own; reads config/split.toml.")
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, max=32, help="Processes that answer, each with everything. [default: [gateway] workers, 1]"
        ),
    ] = None,
    tls: Annotated[
        bool, typer.Option("--tls", help="HTTPS, with a certificate of an authority of this machine's own.")
    ] = False,
) -> None:
    """Starts the platform and says what is where. Ctrl-C stops it.

    With --json, one JSON object goes to stdout when it is ready.
    """
    if split and workers:
        fail("--split and --workers are two ways to run: choose one", code=2)
    # Before all that runs is loaded: what is wrong with it is told in half the time.
    settings = None if split else read_settings(config, data, port=port, workers=workers, tls=tls)
    from acme.cli import split as several
    from acme.cli import up as printed

    announce = printed.print_json if as_json else printed.print_block
    if settings is None:
        several.run(config or (), data, port, announce, tls=tls)
        return
    if settings.gateway.workers > 1:
        several.workers(settings, config or (), announce)
        return
    without_collector()
    from acme.runtime import lifecycle
    from acme.telemetry import configure_logs

    configure_logs(json=not settings.log.as_text(sys.stderr), level=settings.log.level)
    try:
        lifecycle.run(settings, announce, reread=rereading(config, data, port=port, workers=workers, tls=tls))
    except (lifecycle.CannotStart, lifecycle.FolderError) as error:
        fail(*str(error).splitlines())
    except lifecycle.Interrupted:
        fail("stopped before it was ready", code=130)


@app.command()
def topology(data: Data = None, config: Overlays = None, as_json: AsJson = False) -> None:
    """Shows what runs where on this machine: processes, services, versions, health, calls in flight, p99."""
    folder = read_settings(config, data).data
    import asyncio

    from acme.cli import topology as printed
    from acme.runtime.topology import look

    found = asyncio.run(look(folder))
    if not found.processes:
        fail(f"nothing of the platform runs on {folder}", *found.silent)
    (printed.print_json if as_json else printed.print_tables)(found)


@app.command()
def trace(
    name: Annotated[str, typer.Argument(metavar="REQUEST_ID", help="Id of a request (X-Request-Id), or of a trace.")],
    data: Data = None,
    config: Overlays = None,
    as_json: AsJson = False,
) -> None:
    """Shows the way of one recent request, step by step, through all processes on this machine."""
    settings = read_settings(config, data)
    import asyncio

    from acme.cli import trace as printed
    from acme.runtime.tracing import find

    found = asyncio.run(find(settings.data, name))
    if not found.traces:
        running = "no process remembers it: each has its latest ones ([traces] recent)"
        fail(f"there is no trace of {name} on {settings.data}", *(found.silent or (running,)))
    (printed.print_json if as_json else printed.print_way)(found)


@app.command()
def mailbox(data: Data = None, config: Overlays = None, as_json: AsJson = False) -> None:
    """Shows the mails kept locally, newest first. Works whether or not the platform runs."""
    folder = read_settings(config, data).data
    from acme.cli import mailbox as printed
    from acme.runtime import datafolder

    (printed.print_json if as_json else printed.print_list)(datafolder.mails(folder))


@app.command()
def reset(
    data: Data = None,
    config: Overlays = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Deletes the data folder: databases, mails and keys. Refuses while the platform runs on it."""
    folder = read_settings(config, data).data
    from acme.runtime import datafolder

    try:
        datafolder.check(folder)
        if not yes:
            typer.confirm(f"Delete {folder} and everything in it?", abort=True)
        datafolder.reset(folder)
    except datafolder.FolderError as error:
        fail(str(error))
    typer.echo(f"Deleted {folder}.")


@app.command()
def version() -> None:
    """Shows the versions of the platform, its plugin API and Python."""
    import importlib.metadata
    import platform

    from acme import API_VERSION

    installed = importlib.metadata.version("acme-platform")
    typer.echo(f"acme-platform {installed}, plugin API {API_VERSION}, Python {platform.python_version()}")


def main() -> None:
    """The entry point."""
    sys.excepthook = _unexpected
    from acme.config import ConfigError

    try:
        typer.main.get_command(app)()  # app() would put typer's own excepthook in the place of ours
    except ConfigError as error:
        fail("the configuration cannot be used", *error.problems)
    except BrokenPipeError:
        os._exit(1)  # whoever read our output has gone
    except OSError as error:
        fail(str(error))


def _unexpected(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """An error nobody foresaw: one line for people, the traceback for whoever asks for it."""
    if os.environ.get("ACME_TRACEBACK"):
        sys.__excepthook__(kind, error, trace)
    else:
        typer.echo(f"acme: unexpected {kind.__name__}: {error} (ACME_TRACEBACK=1 shows where)", err=True)
