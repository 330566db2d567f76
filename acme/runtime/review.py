"""`acme plugin check`: whether a plugin can be released. Each finding is one line that says where and what.

What is looked at, in this order; the first two end the review when they fail, since nothing can be read after them:

    declaration    the entry point loads and is a `Plugin` for this version of the plugin API, and for no version to come
    contracts      every method has a permission, `public` or `internal`, and what else `acme/contract/validate.py` asks
    documentation  a comment on every service, method, event, field and value of an enum, and on every setting
    release        nothing that was released has changed in a way that breaks somebody (`release.py`)
    migrations     as released, then the rest on a copy, on a real PostgreSQL of its own
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec

from acme import API_VERSION
from acme.contract import ContractError, Contracts, Field, Message, load, package_of
from acme.contract.load import HOME
from acme.drivers import postgres
from acme.drivers.clock import SystemClock
from acme.drivers.embedded import EmbeddedPostgres
from acme.plugin import Plugin
from acme.runtime import release
from acme.runtime.discovery import Roster, covers, discover
from acme.runtime.migrations import migrate
from acme.tasks import Tasks
from acme.telemetry import Metrics

VOCABULARY: Final = frozenset(
    {
        "id", "name", "display_name", "description", "labels", "email", "password", "region", "version", "token",
        "page_size", "page_token", "next_page_token", "update_mask", "if_match", "user_agent", "address",
    }
)  # fmt: skip
"""Names of fields that mean the same everywhere on the platform, and need no comment; so do `…_id`, `…_at` and a message, or
a list of messages, of a type that has one or is named like the field."""

_SETTINGS: Final = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum": "off"}
"""The PostgreSQL of a review is thrown away with it."""


async def review(point: EntryPoint) -> list[str]:
    """What is wrong with the plugin of an entry point; nothing is left behind."""
    roster = discover(found=[point])
    entry = roster.entries[point.name]
    if entry.plugin is None:
        return [entry.reason]
    plugin = entry.plugin
    findings = list(_api(plugin))
    try:
        packages = {package_of(base) for base in plugin.contracts} - {HOME}
        contracts = load(HOME, *sorted(packages))
    except ContractError as error:
        return [*findings, *(f"contract {error.package}: {fault}" for fault in error.faults)]
    findings += _documentation(plugin, contracts)
    released = None
    with roster.trial(entry.name, "release"):
        released = release.last(plugin)
        if released is not None:
            findings += release.broken(plugin, released)
    if not entry.reason:
        await _migrations(roster, plugin, len(released.migrations) if released else 0)
    return [*findings, *filter(None, [entry.reason])]


def _api(plugin: Plugin) -> Iterator[str]:
    following = f"{int(API_VERSION.partition('.')[0]) + 1}.0"
    if covers(plugin.api, following):
        yield f"api: {plugin.api!r} claims plugin API {following}, which nobody knows yet: give it an upper bound"


def _documentation(plugin: Plugin, contracts: Contracts) -> Iterator[str]:
    services = [contracts.service_of(base) for base in plugin.contracts]
    own = {service.file for service in services}
    for service in services:
        if not service.comment:
            yield f"{service.file}: {service.name}: the service has no comment"
        for method in service.methods:
            if not method.comment:
                yield f"{service.file}: {service.name}.{method.name}: the method has no comment"
    told: set[str] = set()
    for message in contracts.messages.values():
        file = message.descriptor.file.name
        if file in own and not message.descriptor.GetOptions().map_entry:
            for name in _bare(message):
                if name not in told:
                    yield f"{file}: {name}"
                    told.add(name)
    for key in undocumented(plugin.settings):
        yield f"{plugin.settings.__module__}.{plugin.settings.__qualname__}: the setting {key} has no docstring below it"


def _bare(message: Message) -> Iterator[str]:
    if message.event is not None and not message.comment:
        yield f"{message.name}: the event has no comment"
    for field in message.fields:
        if not field.comment and not _explained(field):
            yield f"{message.name}.{field.name}: the field has no comment"
        if field.choices is not None:
            for choice in field.choices.values:
                if choice.number and not choice.comment:
                    yield f"{field.choices.name}.{choice.name}: the value has no comment"


def _explained(field: Field) -> bool:
    if field.name in VOCABULARY or field.name.endswith(("_id", "_at")):
        return True
    kind = field.message.name.rpartition(".")[2].lower() if field.message is not None else ""
    return bool(field.message and field.message.comment) or field.name.replace("_", "") in (kind, f"{kind}s")


def undocumented(settings: type) -> list[str]:
    """Keys of a type of settings that no string below them explains. What its source does not show is left out."""
    bare: list[str] = []
    for kind in (settings, *settings.__mro__[1:]):
        if kind in (msgspec.Struct, object) or not inspect.get_annotations(kind):
            continue
        try:
            source = textwrap.dedent(inspect.getsource(kind))
        except (OSError, TypeError):
            continue
        body = next(node.body for node in ast.parse(source).body if isinstance(node, ast.ClassDef))
        bare += _bare_keys(body)
    return bare


def _bare_keys(body: list[ast.stmt]) -> Iterable[str]:
    for here, after in zip(body, [*body[1:], None], strict=True):
        explained = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
        if isinstance(here, ast.AnnAssign) and isinstance(here.target, ast.Name) and not explained:
            yield here.target.id


async def _migrations(roster: Roster, plugin: Plugin, released: int) -> None:
    """Applies the released ones, copies the database, and applies the rest to the copy."""
    with roster.trial(plugin.name, "migrations") as trial, TemporaryDirectory(prefix="acme-review-") as folder:
        server = EmbeddedPostgres(Path(folder), settings=_SETTINGS)
        await server.start()
        try:
            await server.create_database("released")
            await _migrate(server.url("released"), plugin, released)
            await server.create_database("copy", template="released")
            try:
                await _migrate(server.url("copy"), plugin, None)
            except BaseException as error:
                trial.step = f"migrations, {'; '.join(getattr(error, '__notes__', ['on a copy']))}"
                raise
        finally:
            await server.stop()


async def _migrate(url: str, plugin: Plugin, last: int | None) -> None:
    async with Tasks("review", Metrics()) as tasks:
        database = await postgres.open(url, size=1, tasks=tasks)
        try:
            await migrate(database, plugin.name, plugin.package, SystemClock(), last=last)
        finally:
            await database.close()
