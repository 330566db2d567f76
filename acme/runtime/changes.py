"""Two configurations, side by side: which settings differ, and which of them a process takes while it runs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from acme.config import Section
from acme.runtime.settings import Config

_AT_THE_START: Final = "it is read when a process starts"
_WHY: Final = {
    "gateway.host": "the address is taken when the process starts",
    "gateway.port": "the port is taken when the process starts",
    "gateway.listeners": "the ports are taken when the process starts",
    "gateway.tls": "the listeners are made when the process starts",
    "gateway.workers": "the processes are counted when the platform starts",
    "split": "the processes are counted when the platform starts",
    "database": "the plugins keep the connections they have",
    "plugins": "plugins are handed their settings when they start",
}
"""Why a setting waits for a restart, by the beginning of its path."""
_HIDDEN: Final = ("secrets", "plugins", "traces.headers")


class Change(msgspec.Struct, frozen=True):
    """One setting that is not what it was."""

    setting: str
    """Its path, such as "gateway.timeout"."""
    was: str
    """As JSON; "(hidden)" where it may be a secret, "" where it was not set."""
    now: str
    restart: str = ""
    """Why it takes a restart; "" for what a reload changes."""


def merged(old: Config, new: Config) -> Config:
    """The settings of a process that has read `new` while it runs: what it can take of them, and what it has of the rest."""
    replace = msgspec.structs.replace
    was, now = old.gateway, new.gateway
    secure = now.tls if (now.tls.on, now.tls.local) == (was.tls.on, was.tls.local) else was.tls
    tls = replace(secure, client=was.tls.client, handshake=was.tls.handshake, hsts=was.tls.hsts)
    gateway = replace(now, host=was.host, port=was.port, workers=was.workers, listeners=was.listeners, tls=tls)
    tokens = replace(old.tokens, issuers=new.tokens.issuers)
    sent = old.traces
    traces = replace(new.traces, otlp=sent.otlp, headers=sent.headers, timeout=sent.timeout, queue=sent.queue)
    worker = replace(old.worker, grace=new.worker.grace)
    return replace(old, gateway=gateway, tokens=tokens, log=new.log, worker=worker, traces=traces)


def flat(config: Config) -> dict[str, Any]:
    """Every setting by its path."""
    return dict(_flat((), msgspec.to_builtins(config, enc_hook=_plain)))


def shown(setting: str, value: Any) -> str:
    """A value for people, who may not be the ones who may know it."""
    text = msgspec.json.encode(value).decode()
    secret = setting.startswith(_HIDDEN) or ("://" in text and "@" in text)
    return "(hidden)" if secret and value else text


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(path, was, is) of each setting that differs, "" where there is none."""
    for setting in sorted({*before, *after}):
        was, now = before.get(setting, _MISSING), after.get(setting, _MISSING)
        if was != now:
            told = ["" if one is _MISSING else shown(setting, one) for one in (was, now)]
            yield setting, told[0], told[1]


_MISSING: Final = object()


def changes(old: Config, new: Config) -> tuple[Change, ...]:
    """What reading `new` comes to for a process that runs with `old`."""
    between = flat(merged(old, new))
    return (
        *(Change(*each) for each in differences(flat(old), between)),
        *(Change(*each, restart=_why(each[0])) for each in differences(between, flat(new))),
    )


def _why(setting: str) -> str:
    parts = setting.split(".")
    return next((_WHY[at] for at in (setting, ".".join(parts[:2]), parts[0]) if at in _WHY), _AT_THE_START)


def _flat(path: tuple[str, ...], value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and (value or len(path) < 2):
        for key, inner in value.items():
            yield from _flat((*path, key), inner)
    elif value is not None and value != {}:
        yield (
            ".".join(part if part.replace("_", "").replace("-", "").isalnum() else f'"{part}"' for part in path),
            value,
        )


def _plain(value: Any) -> Any:
    if isinstance(value, Section):
        return value.plain()
    raise NotImplementedError(f"a setting of type {type(value).__name__}")


def digest(config: Config) -> str:
    """What two configurations share only if every setting is the same (SHA-256, hexadecimal)."""
    return hashlib.sha256(msgspec.json.encode(flat(config), order="sorted")).hexdigest()
