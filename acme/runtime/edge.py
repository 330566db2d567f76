"""Where the gateway of this process listens, and with which certificates.

edge = Edge.open(config, role, stack)               # takes the ports: links in mails name the first
edge.secure(config, metrics, tasks)               # reads certificates, and looks after them
await gateway.start(*edge.places)
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from socket import socket as Socket
from typing import Final
from urllib.parse import urlsplit

import msgspec

from acme.gateway.listening import Listening
from acme.gateway.tls_settings import TlsSettings
from acme.runtime import listener
from acme.runtime.roles import Role
from acme.runtime.settings import Config, EdgeSettings
from acme.runtime.tls import LOOK_EVERY, EdgeCertificates
from acme.runtime.tls import files as tls_files
from acme.runtime.tls.local import Local
from acme.tasks import Tasks
from acme.telemetry import Metrics

MAIN: Final = ""
"""Name of the listener in `[gateway]` itself."""
_HOUR: Final = 3600.0


@dataclass(slots=True)
class Edge:
    """The listeners of one gateway."""

    url: str
    """Origin of the first, such as "https://127.0.0.1:8080"."""
    sockets: Mapping[str, Socket]
    """By name."""
    others: Mapping[int, Mapping[str, Socket]] = field(default_factory=dict)
    """The same of the other processes that answer on these ports, by their number: for who stands in for one."""
    certificates: EdgeCertificates | None = None
    """None while there are none, or where it is plain HTTP."""
    local: Local | None = None
    """The authority of this machine, where that is asked for."""
    places: tuple[Socket, ssl.SSLContext | None, Iterable[Listening]] = field(init=False)
    """What `Gateway.start` takes."""
    _again: float = 0.0
    """`time.monotonic` at which to see whether the local certificate has to be made anew."""

    @classmethod
    def open(cls, config: Config, role: Role, stack: ExitStack) -> Edge:
        """Takes the ports, or those that the parent process has taken. `stack` closes them.

        Raises:
            CannotStart: one is not to be had.
        """
        settings = config.gateway
        if role.socket is None:
            sockets = {MAIN: stack.enter_context(listener.listen(settings.host, settings.port))}
            further = further_of(settings)
        else:
            sockets = {MAIN: stack.enter_context(listener.adopt(role.socket))}
            further = {name: listener.adopt(number) for name, number in role.sockets.items()}
        for name, each in further.items():
            sockets[name] = stack.enter_context(each)
        others = {
            number: {name: stack.enter_context(listener.adopt(one)) for name, one in theirs.items()}
            for number, theirs in role.others.items()
        }
        return cls(listener.url(sockets[MAIN], secure=settings.tls.on), sockets, others)

    def of_another(self, number: int) -> Iterable[Socket]:
        """The sockets of another process in the order of `places`."""
        return [self.others[number][name] for name in self.sockets]

    def close_others(self) -> None:
        """Lets go of them, so that nobody waits in a queue that nobody looks at any more."""
        for theirs in self.others.values():
            for one in theirs.values():
                one.close()

    def secure(self, config: Config, metrics: Metrics, tasks: Tasks) -> None:
        """Reads the certificates, makes the local one, and looks after both from now on.

        Raises:
            CannotStart: they cannot be used.
        """
        settings = config.gateway
        if settings.tls.local:
            self.local = Local.of(config.data)
            self.local.ensure(tls_files.utc_now())
            self._again = time.monotonic() + _HOUR
        if settings.tls.on:
            self.certificates = EdgeCertificates(self._settings(settings.tls), metrics)
            tasks.loop("tls", self._renew, pause=LOOK_EVERY)
        self.places = self.sockets[MAIN], self._context(settings, MAIN), tuple(self._further(config))

    def prepare(self, settings: EdgeSettings) -> Callable[[], None]:
        """What has other certificates shown from now on, in new handshakes; whether there is TLS at all cannot change.

        Raises:
            CannotStart: they cannot be used; nothing has changed.
        """
        if self.certificates is None:
            return lambda: None
        return self.certificates.prepare(self._settings(settings.tls))

    @property
    def authority(self) -> Path | None:
        """What clients have to believe in, where that is the authority of this machine."""
        return self.local.authority if self.local is not None else None

    async def _renew(self) -> None:
        if self.local is not None and time.monotonic() >= self._again:
            self.local.ensure(tls_files.utc_now())
            self._again = time.monotonic() + _HOUR
        if self.certificates is not None:
            await self.certificates.renew()

    def _settings(self, settings: TlsSettings) -> TlsSettings:
        """With the local certificate named as any other."""
        if self.local is None:
            return settings
        return msgspec.structs.replace(settings, local=False, certificates=(self.local.settings,))

    def _context(self, settings: EdgeSettings, name: str) -> ssl.SSLContext | None:
        if self.certificates is None:
            return None
        if name == MAIN:
            return self.certificates.context(settings.tls.client)
        own = settings.listeners[name]
        return self.certificates.context(own.client) if own.secure else None

    def _further(self, config: Config) -> Iterable[Listening]:
        for name, own in config.gateway.listeners.items():
            redirects = own.serves == "redirect"
            to = Elsewhere(self.certificates, self._port(config)) if redirects and self.certificates else None
            yield Listening(self.sockets[name], self._context(config.gateway, name), to)

    def _port(self, config: Config) -> int:
        """Port at which the world finds the API over https."""
        public = urlsplit(config.platform.public_url)
        return (public.port or 443) if public.scheme == "https" else self.sockets[MAIN].getsockname()[1]


class Elsewhere:
    """Where a redirect leads: to the same host, over https."""

    def __init__(self, certificates: EdgeCertificates, port: int) -> None:
        self._certificates, self._port = certificates, "" if port == 443 else f":{port}"

    def __call__(self, host: str) -> str:
        """Origin for a name or address; "" for one that no certificate is for."""
        host = host.lower().removesuffix(".")
        try:
            address = ip_address(host)
        except ValueError:
            shown = host
        else:
            host = str(address)
            shown = f"[{host}]" if address.version == 6 else host
        return f"https://{shown}{self._port}" if self._certificates.covers(host) else ""


def further_of(settings: EdgeSettings, number: int = 0) -> dict[str, Socket]:
    """Sockets of the further listeners of a gateway, by name; of the `number`th after the first of several on this machine,
    as many ports further on.

    Raises:
        CannotStart: one is not to be had; then none is taken.
    """
    found: dict[str, Socket] = {}
    with ExitStack() as taken:
        for name, own in settings.listeners.items():
            port, setting = own.port + number if own.port else 0, f"[gateway.listeners.{name}]"
            found[name] = taken.enter_context(
                listener.listen(own.host or settings.host, port, ports=1, setting=setting)
            )
        taken.pop_all()
    return found
