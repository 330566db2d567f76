"""What `acme up` prints when it is ready: one block for people, or one JSON object for programs."""

from __future__ import annotations

import shlex
import sys
from urllib.parse import urlsplit

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from acme.runtime.report import Report


def print_json(report: Report) -> None:
    """One line, one object, and no more on stdout after it."""
    sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
    sys.stdout.buffer.flush()


def print_block(report: Report, console: Console | None = None) -> None:
    """The block: what runs where, what it does not promise, and what to try next."""
    console = console or Console(highlight=False, soft_wrap=True)
    port = urlsplit(report.api).port
    console.print()
    state = Text("ready", "bold green") if report.ready else Text("not ready", "bold red")
    console.print(Text.assemble(("Acme Platform ", "bold"), report.version, " is ", state, _times(report)))
    if report.asked_port not in (0, port):
        console.print(Text(f"Port {report.asked_port} is busy: using {port}.", "yellow"))
    console.print()
    for line in _places(report):
        console.print(line)
    console.print()
    console.print(_plugins(report))
    for plugin in report.plugins:
        if plugin.reason:
            console.print(Text(f"  {plugin.name}: {plugin.reason}", "red"))
    console.print()
    for process in report.processes:
        console.print(Text.assemble((f"  {process.name:<12}", "cyan"), f"process {process.pid}, {process.address}"))
    if report.processes:
        console.print()
    if report.authority:
        for told in _trust(report.authority):
            console.print(Text(told))
        console.print()
    alike = any(plugin.placement == "workers" for plugin in report.plugins)
    promise = _PROMISE["workers" if alike else "split" if report.processes else report.mode]
    console.print(Text(promise.replace(", TLS", "") if report.api.startswith("https:") else promise, "dim"))
    console.print()
    console.print(Text("Try next, in another terminal:", "bold"))
    for command in next_commands(report):
        console.print(Text("  " + command))
    console.print()
    console.print(Text("Ctrl-C stops it; a second Ctrl-C does not wait for requests under way.", "dim"))


def next_commands(report: Report) -> tuple[str, str, str, str]:
    """Four commands that work as they stand, one after the other."""
    trust = f" --cacert {shlex.quote(report.authority)}" if report.authority else ""
    send = f"curl -sS{trust} -H 'Content-Type: application/json'"
    account = '{"email": "ada@example.com", "password": "correct horse battery staple"'
    return (
        f'{send} {report.api}/v1/users -d \'{account}, "display_name": "Ada"}}\'',
        f"{_acme()} mailbox --data {shlex.quote(report.data)}",
        f"{send} {report.api}/v1/sessions -d '{account}}}'",
        f"{_acme()} events tail --data {shlex.quote(report.data)}",
    )


_PROMISE = {
    "embedded": (
        "Mode: embedded. One process and one PostgreSQL on this machine. What was acknowledged survives a crash of either.\n"
        "Not promised: surviving the loss of this disk, service during a restart, TLS. Mails are kept here, not sent."
    ),
    "split": (
        "Mode: split. Gateway and plugins are processes of their own on this machine; one that ends is started again.\n"
        "Not promised: surviving the loss of this disk or machine, TLS. Mails are kept here, not sent."
    ),
    "workers": (
        "Mode: workers. Processes on this machine that are alike, and share the port; one that ends is started again.\n"
        "Not promised: surviving the loss of this disk or machine, TLS. Mails are kept here, not sent."
    ),
    "external": (
        "Mode: external database. One process of the platform; the database is yours to keep safe.\n"
        "Not promised: service during a restart, TLS. Mails are kept here, not sent."
    ),
}


def _times(report: Report) -> str:
    return f" after {report.ready_seconds:.2f} s (process {report.pid})"


def _places(report: Report) -> list[Text]:
    """Lines, and no table of rich's: it would break long paths where the terminal ends."""
    places = (
        ("API", report.api),
        ("OpenAPI", report.openapi),
        ("Health", f"{report.health}  {report.readiness}"),
        ("Metrics", report.metrics),
        ("Data", f"{report.data}  {report.data_bytes / 1e6:.0f} MB"),
        ("Afresh", f"{_acme()} reset --data {shlex.quote(report.data)}"),
    )
    return [Text.assemble((f"  {name:<9}", "cyan"), value) for name, value in places]


def _trust(authority: str) -> tuple[str, ...]:
    """How to have clients believe in the local authority. It vouches for this machine alone, and its key stays here."""
    path = shlex.quote(authority)
    return (
        f"The certificate is of an authority of this machine's own, {authority}: it vouches for this machine alone.",
        f"  One command     curl --cacert {path} …",
        f"  One shell       export SSL_CERT_FILE={path}    (and nobody else is believed there)",
        f"  Debian, Ubuntu  sudo cp {path} /usr/local/share/ca-certificates/acme.crt && sudo update-ca-certificates",
        f"  macOS           security add-trusted-cert -k ~/Library/Keychains/login.keychain-db {path}",
        "  Firefox         Settings, Certificates, Authorities, Import",
    )


def _acme() -> str:
    """The command as it was called, so that the lines to try work as they stand."""
    return shlex.quote(sys.argv[0]) if sys.argv[0].endswith("/acme") else "acme"


def _plugins(report: Report) -> Table:
    table = Table(box=None, padding=(0, 2), header_style="cyan")
    for title in ("Plugin", "Version", "Placement", "Health", "Migrations"):
        table.add_column(title, no_wrap=True)
    for plugin in report.plugins:
        style = {"up": "green", "quarantined": "red"}.get(plugin.health, "")
        row = (plugin.name, plugin.version, plugin.placement, Text(plugin.health, style), plugin.migrations)
        table.add_row(*row)
    return table
