"""Which service runs where: contract → client."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from types import FrameType, MappingProxyType
from typing import Any, Final, Literal, Protocol, TypeAlias, TypeVar, cast

from acme.context import Call
from acme.contract import Method, Service
from acme.dispatch import local, loopback
from acme.dispatch.calls import GATEWAY, caller, streamer
from acme.dispatch.drive import call_on
from acme.dispatch.remote import Remote, place, place_stream
from acme.dispatch.serve import Host, Pipeline, Serve, check_hostable, keeps_nothing
from acme.dispatch.server import Server
from acme.dispatch.status import UNREACHABLE
from acme.dispatch.streams import Streamed, streams
from acme.errors import Unavailable
from acme.tasks import Serving

T = TypeVar("T")

Placement: TypeAlias = Literal["local", "loopback", "grpc"]

Served: TypeAlias = Serve | Streamed

PLACEMENTS: Final[Mapping[Placement, Callable[[Pipeline, Host, Method], Served]]] = {
    "local": lambda *served: (local.place_stream if streams(served[2]) else local.place)(*served),
    "loopback": lambda *served: (loopback.place_stream if streams(served[2]) else loopback.place)(*served),
}
"""Those that need nothing but the host."""


class Around(Protocol):
    """What lies around every call, whatever carries it: the faults of the test kit."""

    def call(self, method: Method, send: Serve) -> Serve:
        """Around a method that does not stream."""

    def stream(self, method: Method, send: Streamed) -> Streamed:
        """Around one that does."""


class _Nothing:
    """Lies around nothing."""

    def call(self, method: Method, send: Serve) -> Serve:
        return send

    def stream(self, method: Method, send: Streamed) -> Streamed:
        return send


class Entry:
    """`ports.Entry`: a stable object, as a client is.

    A client derives the callee's `Call` from its caller's, which takes 0.6 µs (`make bench`, "the caller's half"). Whoever
    lets a call in has nobody's to derive from, and would have to make one for that alone.
    """

    __slots__ = ("fresh", "method", "reply", "send")

    def __init__(self, method: Method, reply: Callable[[Any], Any], fresh: Callable[[Any], Any] | None) -> None:
        self.method, self.reply, self.fresh = method, reply, fresh
        self.send: Serve = _refusing(method)


class _Board:
    """What the views of one directory share."""

    def __init__(self) -> None:
        self.hosts: dict[str, Host] = {}
        self.remotes: dict[str, Remote] = {}
        self.served: dict[str, dict[str, Served]] = {}
        """By full name of the service, then by attribute of the method."""
        self.clients: dict[tuple[str, str], Any] = {}
        """By caller and full name of the service."""
        self.entries: list[Entry] = []
        self.near: set[str] = set()
        """Services that are called in this process, without a wire."""
        self.socket: tuple[Server, Remote] | None = None
        """What the placement "grpc" goes through."""
        self.around: Around = _Nothing()


class Directory:
    """`ports.Directory`, as one service sees it: its clients call in its name.

    A client is a stable object: it can be asked for before its service is hosted, and stays the same when the service moves.
    Keep the client, not one of its methods.
    """

    def __init__(self, pipeline: Pipeline, *, service: str = "platform", board: _Board | None = None) -> None:
        self._pipeline = pipeline
        self._service = service
        self._board = board or _Board()

    @property
    def hosts(self) -> Mapping[str, Host]:
        """What is hosted, by full name of the service."""
        return MappingProxyType(self._board.hosts)

    @property
    def remotes(self) -> Mapping[str, Remote]:
        """What is in other processes, by full name of the service."""
        return MappingProxyType(self._board.remotes)

    def named(self, service: str) -> Directory:
        """The same directory for another caller: a plugin's name, "gateway" or "tokens"."""
        return Directory(self._pipeline, service=service, board=self._board)

    def client(self, stub: type[T]) -> T:
        """The client of a contract, by its generated stub. Until the service is hosted, and once it is withdrawn, calls are
        refused as `Unavailable(reason="unreachable")`.

        Raises:
            KeyError: the stub's contract is not loaded.
        """
        service = self._pipeline.contracts.service_of(stub)
        key = (self._service, service.name)
        client = self._board.clients.get(key)
        if client is None:
            client = self._board.clients[key] = _client(service)
            self._bind(client, self._service, service)
        return cast(T, client)

    def entry(self, method: Method, reply: Callable[[Any], Any], fresh: Callable[[Any], Any] | None = None) -> Entry:
        """Where calls of a method that does not stream come in from outside. Whoever calls there makes the callee's `Call`,
        and says in it who is calling, and what becomes of replies: see `ports.Front`.

        Raises:
            ValueError: the method streams.
            RuntimeError: for anybody but the gateway.
        """
        if streams(method):
            raise ValueError(f"{method.path[1:]} streams: it is called through a client")
        if self._service != GATEWAY:
            raise RuntimeError(f"{self._service} lets nobody in: it has clients")
        made = Entry(method, reply, fresh)
        self._board.entries.append(made)
        self._let_in(made)
        return made

    def host(self, host: Host, placement: Placement = "local") -> None:
        """Serves a service from now on.

        Raises:
            ValueError: it is hosted already, or the placement is "grpc" before `through`.
            TypeError, NotImplementedError: it cannot be hosted; see `check_hostable`.
        """
        service = host.service
        self._free(service, f"of plugin {host.plugin} ")
        check_hostable(host)
        if placement != "grpc":
            put = PLACEMENTS[placement]
            served = {m.attr: put(self._pipeline, host, m) for m in service.methods}
            if placement == "local":
                self._board.near.add(service.name)
        elif self._board.socket is None:
            raise ValueError("nobody has said what socket the placement grpc goes through")
        else:
            server, remote = self._board.socket
            server.host(host)
            served = _far(remote, service)
        self._board.served[service.name] = served
        self._board.hosts[service.name] = host
        self._rebind(service)

    def serving(self, frame: FrameType) -> Serving | None:
        """The call that is being served on a stack, by its innermost frame."""
        call = call_on(frame)
        if call is None:
            return None
        host = self._board.hosts.get(call.method.partition("/")[0])
        return Serving(host.plugin if host is not None else "", call.method, call.request_id)

    def through(self, server: Server, remote: Remote) -> None:
        """What the placement "grpc" goes through: a server of this process, and a way to it."""
        self._board.socket = server, remote

    def withdraw(self, service: Service) -> None:
        """Refuses new calls of a service. Calls being served go on."""
        if self._board.socket is not None and service.name in self._board.socket[0].hosts:
            self._board.socket[0].withdraw(service)
        del self._board.hosts[service.name], self._board.served[service.name]
        self._board.near.discard(service.name)
        self._rebind(service)

    def wrap(self, around: Around) -> None:
        """Puts something around every call from now on."""
        self._board.around = around
        for entry in self._board.entries:
            self._let_in(entry)
        for (name, served), client in self._board.clients.items():
            self._bind(client, name, self._pipeline.contracts.services[served])

    def connect(self, service: Service, remote: Remote) -> None:
        """Sends calls of a service to another process from now on.

        Raises:
            ValueError: it is hosted here, or connected already.
        """
        self._free(service, "")
        self._board.served[service.name] = _far(remote, service)
        self._board.remotes[service.name] = remote
        self._rebind(service)

    def disconnect(self, service: Service) -> None:
        """Refuses new calls of a service that is in another process. Calls on their way go on."""
        del self._board.remotes[service.name], self._board.served[service.name]
        self._rebind(service)

    def _free(self, service: Service, whose: str) -> None:
        board = self._board
        if service.name in board.hosts:
            raise ValueError(f"{service.name} {whose}is kept by {board.hosts[service.name].plugin}")
        if service.name in board.remotes:
            raise ValueError(f"{service.name} {whose}is kept at {board.remotes[service.name].address}")

    def _rebind(self, service: Service) -> None:
        for entry in self._board.entries:
            if entry.method.service == service.name:
                self._let_in(entry)
        for (name, served), client in self._board.clients.items():
            if served == service.name:
                self._bind(client, name, service)

    def _let_in(self, entry: Entry) -> None:
        method, fresh = entry.method, entry.fresh
        send = self._board.served.get(method.service, {}).get(method.attr)
        if send is None:
            entry.send = _refusing(method)
            return
        host, around = self._board.hosts.get(method.service), self._board.around.call(method, cast(Serve, send))
        # Whatever lies around a call has to see its reply.
        near = around is send and method.service in self._board.near
        if fresh is not None and host is not None and near and keeps_nothing(host, method):
            entry.send = local.let_in(self._pipeline, host, method, fresh)
        else:
            entry.send = _replied(around, entry.reply)

    def _bind(self, client: Any, name: str, service: Service) -> None:
        """Methods live in the client's own attributes: calling one costs no more than calling any function."""
        served = self._board.served.get(service.name, {})
        for method in service.methods:
            send = served.get(method.attr)
            if send is None:
                vars(client).pop(method.attr, None)
            elif streams(method):
                stream = self._board.around.stream(method, cast(Streamed, send))
                setattr(client, method.attr, streamer(method, name, stream, self._pipeline.clock))
            else:
                call = self._board.around.call(method, cast(Serve, send))
                setattr(client, method.attr, caller(method, name, call, self._pipeline.clock))


def _far(remote: Remote, service: Service) -> dict[str, Served]:
    """A service in another process, by attribute of the method."""
    return {m.attr: (place_stream if streams(m) else place)(remote, service, m) for m in service.methods}


def _client(service: Service) -> Any:
    """An unbound client: of the stub's class, without a channel."""
    methods = {method.attr: _unreachable(method) for method in service.methods}
    cls = type(service.stub.__name__, (service.stub,), {"__module__": __name__, **methods})
    return object.__new__(cls)


def _unreachable(method: Method) -> Any:
    def bound(self: Any) -> Any:
        found = vars(self).get(method.attr)  # hosted after somebody had taken this method
        if found is None:
            raise _not_running(method)
        return found

    async def call(self: Any, message: Any, **options: Any) -> Any:
        return await bound(self)(message, **options)

    async def stream(self: Any, message: Any, **options: Any) -> AsyncGenerator[Any, None]:
        async with aclosing(bound(self)(message, **options)) as replies:
            async for reply in replies:
                yield reply

    made = stream if method.server_streaming else call
    made.__name__ = method.attr
    return made


def _replied(send: Serve, reply: Callable[[Any], Any]) -> Serve:
    async def replied(call: Call, message: Any) -> Any:
        return reply(await send(call, message))

    return replied


def _refusing(method: Method) -> Serve:
    async def refuse(_call: Call, _message: Any) -> Any:
        raise _not_running(method)

    return refuse


def _not_running(method: Method) -> Unavailable:
    return Unavailable(f"{method.service} is not running.", reason=UNREACHABLE, retry_after=1.0)
