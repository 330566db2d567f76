"""Drivers: the technologies behind the ports, one file each.

`acme/ports.py` says what the platform asks of the outside world; a driver keeps one such promise with one technology and
is the only home of that technology's library. Only `runtime` (and the test kit) imports this package: services are handed
ports and never learn which driver is behind them. The driver follows from the scheme of a URL in the configuration:

    database: Database = await drivers.open("postgresql://acme@db/users", tasks=tasks)

`DRIVERS` below is the whole table. A driver's module is imported when the first URL of its scheme is opened, so a library
that is not used is neither loaded nor needed. Each module has an `open(url, …)`; what it takes beside the URL (tasks, a
clock) and whether it is awaited is the port's matter. One contract suite a port (`tests/contract/`) runs over all drivers.

`embedded.py` is not behind a URL: it starts the PostgreSQL that `postgresql:` URLs then point at, with the programs that
`binaries.py` finds and under the locks of `processes.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Any, Final

DRIVERS: Final[Mapping[str, str]] = {
    "postgres": "acme.drivers.postgres",
    "postgresql": "acme.drivers.postgres",
}
"""Scheme of a URL → module."""


def driver(url: str) -> ModuleType:
    """The module that serves the scheme of `url`, imported now.

    Raises:
        ValueError: no driver has this scheme; the text names those there are, and nothing of the URL but its scheme.
    """
    scheme, colon, _ = url.partition(":")
    name = DRIVERS.get(scheme) if colon else None
    if name is None:
        what = f"no driver for {scheme}:" if colon else "a URL begins with a scheme"
        raise ValueError(f"{what}; there are {', '.join(f'{known}:' for known in sorted(DRIVERS))}")
    return import_module(name)


def open(url: str, **needs: Any) -> Any:
    """What the driver's own `open(url, **needs)` returns; some are coroutines, to be awaited."""
    return driver(url).open(url, **needs)
