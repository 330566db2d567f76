"""What `acme plugin list` shows."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from acme.runtime.discovery import contracts_of, discover, settings_of
from acme.runtime.settings import Config


class Line(msgspec.Struct, frozen=True):
    """One plugin."""

    name: str
    version: str
    package: str
    """Import package; "" when the declaration could not be read."""
    contracts: tuple[str, ...]
    """Full names of the services it keeps."""
    api: str
    """Versions of the plugin API it works with."""
    state: str
    """"ok", "quarantined" or "disabled"."""
    reason: str = ""
    """Why it is quarantined."""


def installed(settings: Config) -> list[Line]:
    """Every plugin that is installed, as a start would find it; nothing is started.

    Raises:
        acme.config.ConfigError: settings for a plugin that is not installed.
    """
    disabled = settings.platform.disabled
    roster = discover(disabled)
    contracts = contracts_of(roster)
    settings_of(roster, settings.plugins, disabled)
    lines = []
    for entry in roster.entries.values():
        plugin, usable = entry.plugin, not entry.reason
        kept = [contracts.service_of(base).name for base in plugin.contracts] if plugin and usable else []
        lines.append(
            Line(
                name=entry.name,
                version=entry.version,
                package=plugin.package if plugin else "",
                contracts=tuple(kept),
                api=plugin.api if plugin else "",
                state="ok" if usable else "quarantined",
                reason=entry.reason,
            )
        )
    lines += [Line(name, "", "", (), "", "disabled") for name in disabled]
    return sorted(lines, key=lambda line: line.name)


def as_json(lines: Sequence[Line]) -> bytes:
    """A JSON array of objects with the fields of `Line`."""
    return msgspec.json.format(msgspec.json.encode(lines)) + b"\n"


def as_text(lines: Sequence[Line]) -> str:
    """For people: a table with a row for each contract, and below it the reasons, which may be long."""
    rows = [("Plugin", "Version", "Package", "API", "State", "Contracts")]
    for line in lines:
        first, *others = line.contracts or ("",)
        rows.append((line.name, line.version, line.package, line.api, line.state, first))
        rows += [("", "", "", "", "", other) for other in others]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    text = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    text += [f"{line.name}: {line.reason}" for line in lines if line.reason]
    return "\n".join(text)
