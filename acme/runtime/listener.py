"""Where the gateway listens. The port is taken first of all, because links in mails name it and plugins are told."""

from __future__ import annotations

import errno
import os
import socket
from typing import Final

from acme.runtime.databases import CannotStart

PORTS: Final = 100
"""Ports tried, counted from the configured one, before giving up."""
_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  (told apart here, not bound)


def listen(host: str, port: int, *, ports: int = PORTS, setting: str = "[gateway] host") -> socket.socket:
    """A listening socket on `port`, or on the next free one of `ports`, itself counted; 0 means any.

    Raises:
        CannotStart: none is free, or the address is not this machine's; with the setting it came from.
    """
    try:
        family, kind, protocol, _, _ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[
            0
        ]
    except socket.gaierror as error:
        raise CannotStart(f"{setting} = {host!r} is no address of this machine: {error.strerror}") from error
    for candidate in range(port, min(port + ports, 65536)):
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, candidate))
            listener.listen(1024)
        except OSError as error:
            listener.close()
            if error.errno == errno.EADDRINUSE:
                continue
            raise CannotStart(f"cannot listen on {host} port {candidate}: {error.strerror}") from error
        listener.setblocking(False)
        return listener
    if ports == 1:
        raise CannotStart(f"{setting}: port {port} of {host} is in use")
    raise CannotStart(f"no free port from {port} on: choose another with --port")


def shared(
    host: str, port: int, count: int, *, ports: int = PORTS, setting: str = "[gateway] host"
) -> list[socket.socket]:
    """`count` listening sockets on one port, otherwise as `listen`: the kernel gives each connection to one of them, by its
    addresses and ports (SO_REUSEPORT; socket(7))."""
    # Without SO_REUSEPORT at first: with it, nobody would be told that a port is another platform's.
    with listen(host, port, ports=ports, setting=setting) as found:
        family, kind, protocol, place = found.family, found.type, found.proto, found.getsockname()
    sockets: list[socket.socket] = []
    try:
        for _ in range(count):
            one = socket.socket(family, kind, protocol)
            sockets.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            one.bind(place)
            one.listen(1024)
            one.setblocking(False)
    except OSError as error:
        for one in sockets:
            one.close()
        raise CannotStart(f"cannot listen on {host} port {place[1]}: {error.strerror}") from error
    return sockets


def adopt(descriptor: int) -> socket.socket:
    """A listening socket that the parent process has opened, and keeps: connections wait in it while we are restarted."""
    listener = socket.socket(fileno=descriptor)
    listener.setblocking(False)
    os.set_inheritable(descriptor, False)
    return listener


def url(listener: socket.socket, *, secure: bool = False) -> str:
    """The origin under which this machine reaches it; `secure`: over TLS."""
    scheme = "https" if secure else "http"
    host, port = listener.getsockname()[:2]
    host = _EVERYWHERE.get(host, host)
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
