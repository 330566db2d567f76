"""What a platform of several processes on one machine consists of.

- `Split`: `acme up --split`, gateways on a port each, and every plugin in processes of its own.
- `Workers`: `acme up --workers N`, processes that are alike: each answers on the one port, and has all plugins in it.

Workers share their ports by SO_REUSEPORT: the kernel gives each a part of the connections. All the sockets are the
supervisor's, and every worker inherits those of the others, so that another can stand in for one that has ended (see
`standins.py`): what waits in the queue of a socket is not lost with the process that would have accepted it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from socket import socket
from typing import Final

from acme import drivers
from acme.runtime import listener
from acme.runtime.children import Child
from acme.runtime.databases import CannotStart
from acme.runtime.edge import MAIN, further_of
from acme.runtime.runfolder import RunFolder
from acme.runtime.settings import Config
from acme.runtime.supervisor import Plan, over

_LISTENING: Final = 1
"""Sessions beside those of the pools: the one that listens to the log."""


class Split:
    """Gateway and plugins in processes of their own."""

    def sockets(self, config: Config) -> list[dict[str, socket]]:
        """One port after the other."""
        found: list[dict[str, socket]] = []
        with ExitStack() as taken:
            for _ in range(config.split.gateways):
                port = config.gateway.port
                if found and port:
                    port = found[-1][MAIN].getsockname()[1] + 1
                found.append({MAIN: taken.enter_context(listener.listen(config.gateway.host, port))})
            for number, each in enumerate(found):
                each |= {name: taken.enter_context(one) for name, one in further_of(config.gateway, number).items()}
            taken.pop_all()
        return found

    def sessions(self, config: Config, plugins: int) -> int:
        """Of every plugin in each of its processes."""
        return plugins * config.split.workers * (config.database.connections + config.bus.connections + _LISTENING)

    def plan(
        self,
        config: Config,
        names: Sequence[str],
        environ: Mapping[str, str],
        files: Sequence[Path],
        folder: RunFolder,
        database: str,
        sockets: Sequence[Mapping[str, socket]],
    ) -> Plan:
        """The processes, and what each is told. A variable set here wins over the same one of the operator's."""
        secure = config.gateway.tls.on
        command = _command(files)
        places = {
            name: [folder.address(f"{name}-{number}.grpc") for number in range(1, config.split.workers + 1)]
            for name in names
        }
        shared = {
            "ACME_DATABASE__URL": database,
            "ACME_PLATFORM__DATA": str(config.data),
            "ACME_WORKER__REPLICAS": str(config.split.workers),
            "ACME_LIMITER__GATEWAYS": str(config.split.gateways),
            "ACME_PLATFORM__PUBLIC_URL": config.platform.public_url or listener.url(sockets[0][MAIN], secure=secure),
        }

        def environment(hosted: str) -> dict[str, str]:
            services = {
                f"ACME_SERVICES__{name.upper()}": "" if name == hosted else ",".join(where)
                for name, where in places.items()
            }
            return over(environ, {**shared, **services})

        gateways = [
            Child(
                name=f"gateway-{number}" if len(sockets) > 1 else "gateway",
                command=(*command, "--gateway", *_inherited(each)),
                environ=environment(""),
                descriptors=tuple(one.fileno() for one in each.values()),
                address=listener.url(each[MAIN], secure=secure),
            )
            for number, each in enumerate(sockets, 1)
        ]
        workers = [
            Child(
                name=f"{name}-{number}" if len(where) > 1 else name,
                command=(*command, "--only", name, "--listen", address),
                environ=environment(name),
                address=address,
            )
            for name, where in places.items()
            for number, address in enumerate(where, 1)
        ]
        _name(config, (*gateways, *workers))
        return Plan(tuple(gateways), tuple(workers))


class Workers:
    """Processes that are alike."""

    def sockets(self, config: Config) -> list[dict[str, socket]]:
        """As many for each port as there are workers."""
        settings, count = config.gateway, config.gateway.workers
        places = {MAIN: listener.shared(settings.host, settings.port, count)}
        try:
            for name, own in settings.listeners.items():
                setting = f"[gateway.listeners.{name}]"
                places[name] = listener.shared(own.host or settings.host, own.port, count, ports=1, setting=setting)
        except CannotStart:
            for one in (one for sockets in places.values() for one in sockets):
                one.close()
            raise
        return [{name: sockets[number] for name, sockets in places.items()} for number in range(count)]

    def sessions(self, config: Config, plugins: int) -> int:
        """Of every plugin in every process, which has one bus."""
        each = plugins * config.database.connections + config.bus.connections + _LISTENING
        return config.gateway.workers * each

    def plan(
        self,
        config: Config,
        names: Sequence[str],
        environ: Mapping[str, str],
        files: Sequence[Path],
        folder: RunFolder,
        database: str,
        sockets: Sequence[Mapping[str, socket]],
    ) -> Plan:
        """The processes, and what each is told. A variable set here wins over the same one of the operator's."""
        secure, count = config.gateway.tls.on, len(sockets)
        url = listener.url(sockets[0][MAIN], secure=secure)
        values = {
            "ACME_DATABASE__URL": database,
            "ACME_PLATFORM__DATA": str(config.data),
            "ACME_PLATFORM__PUBLIC_URL": config.platform.public_url or url,
            "ACME_WORKER__REPLICAS": str(count),
            **{f"ACME_SERVICES__{name.upper()}": "" for name in names},
        }
        if config.limiter.gateways or drivers.scheme(config.limiter.url) in drivers.PROCESS_LOCAL:
            values["ACME_LIMITER__GATEWAYS"] = str(count * (config.limiter.gateways or 1))
        if drivers.scheme(config.cache.url) in drivers.PROCESS_LOCAL:
            values["ACME_CACHE__URL"] = "none:"
        command = (*_command(files), "--gateway", "--only", ",".join(names))
        everybody = tuple(one.fileno() for each in sockets for one in each.values())
        workers = []
        for number, each in enumerate(sockets, 1):
            address = folder.address(f"worker-{number}.grpc")
            others = [
                f"{other}:{name}:{one.fileno()}"
                for other, theirs in enumerate(sockets, 1)
                if other != number
                for name, one in theirs.items()
            ]
            options = [text for other in others for text in ("--other", other)]
            worker = Child(
                name=f"worker-{number}",
                command=(*command, "--listen", address, *_inherited(each), *options),
                environ=over(environ, values),
                descriptors=everybody,
                address=url,
            )
            workers.append(worker)
        _name(config, workers)
        return Plan(tuple(workers), (), alike=True)


def _command(files: Sequence[Path]) -> tuple[str, ...]:
    overlays = [text for file in files for text in ("-c", str(file))]
    return (sys.executable, "-P", "-m", "acme", "serve", "--json", *overlays)


def _inherited(sockets: Mapping[str, socket]) -> list[str]:
    further = [
        text for name, one in sockets.items() if name != MAIN for text in ("--listener", f"{name}={one.fileno()}")
    ]
    return ["--socket", str(sockets[MAIN].fileno()), *further]


def _name(config: Config, children: Sequence[Child]) -> None:
    """Tells each its name, and where it tells operators how it is."""
    for number, child in enumerate(children):
        child.command = (*child.command, "--name", child.name)
        if config.monitor.listen:
            child.environ = over(child.environ, {"ACME_MONITOR__LISTEN": config.monitor.nth(number)})
