"""The callee's half of a call, the same for every placement: from a `Call` and a request to a reply.

A placement says how requests and replies look (`Carriage`); here is what happens between them, in one order.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from contextvars import Context
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from acme.authorise import require_step_up
from acme.codec.rules import Checks
from acme.codec.wire import Wire
from acme.context import CALL, Call, Kind
from acme.contract import EVERYBODY, Contracts, Method, Service, Work, least_roles
from acme.dispatch.drive import Driven
from acme.dispatch.measures import Measures
from acme.dispatch.size import Sizes
from acme.dispatch.status import guarded
from acme.errors import Denied, Invalid, Refused, TooLarge, Unauthenticated
from acme.ports import Clock
from acme.telemetry import Metrics, logger
from acme.traces import UNTRACED, Tracer
from acme.work import HERE, Carrier, Scope, Unit, UnitFactory, denies, trail_of

log: Final = logger(__name__)

MESSAGE_LIMIT: Final = 4 * 1024 * 1024
"""Bytes of a message on the wire, either way."""

Serve: TypeAlias = Callable[[Call, Any], Coroutine[Any, Any, Any]]
"""A served method: (call, request as the placement carries it) → the reply likewise. Raises only what may cross."""


class Handling(Driven[Any]):
    """A handler that runs. It has been given `message`."""

    __slots__ = ("message",)

    message: Any


class Pipeline:
    """What every call of a Node shares."""

    def __init__(
        self,
        contracts: Contracts,
        wire: Wire,
        checks: Checks,
        metrics: Metrics,
        clock: Clock,
        tracer: Tracer | None = None,
    ) -> None:
        self.contracts: Final = contracts
        self.wire: Final = wire
        self.checks: Final = checks
        self.clock: Final = clock
        self.sizes: Final = Sizes()
        self.measures: Final = Measures(metrics)
        self.tracer: Final = tracer or Tracer(UNTRACED)
        self.roles: Final = least_roles(contracts.services.values())
        """Permission → the least built-in role that includes it: the `roles` of every call that is served here."""


@dataclass(frozen=True, slots=True)
class Host:
    """A service to be hosted."""

    service: Service
    instance: Any
    """An instance of a subclass of `service.base`."""
    plugin: str
    work: UnitFactory | None = None
    """Units of work in the plugin's database; None where it has none."""
    version: str = ""
    """Version of the plugin's distribution, "" when it is not known."""


@dataclass(frozen=True, slots=True)
class Carriage:
    """How a placement carries one method's messages."""

    system: str
    """Name of the placement in metrics."""
    receive: Callable[[Any], Any]
    """Request → message of the callee's own. Raises `ValueError` for what the wire cannot carry."""
    answer: Callable[[Any], Any]
    """The handler's reply → reply. Runs before the commit."""
    carrier: Carrier[Any]
    """Reply ⇄ wire bytes."""


def not_carried(error: ValueError) -> Invalid:
    """The request is a message that the wire cannot carry."""
    return Invalid(f"The wire cannot carry this request: {error}", reason="not_carried")


def too_large(what: str) -> TooLarge:
    """`what` is "request" or "reply"."""
    return TooLarge(f"The {what} has more than {MESSAGE_LIMIT} bytes.", reason=f"{what}_too_large")


def check_hostable(host: Host) -> None:
    """Refuses, at start-up, what could only fail later.

    Raises:
        TypeError: the instance does not keep the contract, or a handler is no coroutine function; where the reply is a
            stream, no async generator function.
    """
    service, instance = host.service, host.instance
    if not isinstance(instance, service.base):
        raise TypeError(f"{type(instance).__name__} of plugin {host.plugin} is no {service.base.__name__}")
    for method in service.methods:
        handler, name = getattr(instance, method.attr), f"{type(instance).__name__}.{method.attr}"
        if method.server_streaming:
            if not inspect.isasyncgenfunction(handler):
                raise TypeError(f"{name} is no `async def` with `yield`: its reply is a stream")
        elif not inspect.iscoroutinefunction(handler):
            raise TypeError(f"{name} is no `async def`")


def admit(pipeline: Pipeline, method: Method, call: Call) -> None:
    """Refuses who may not call at all, and tells the call which role includes what.

    Raises:
        Denied, Unauthenticated: so it is.
    """
    permission, internal = method.permission, method.internal
    if internal is not None and call.service not in internal and not (EVERYBODY in internal and call.service):
        raise Denied(f"{call.service} may not call {method.path[1:]}.", reason="internal_method")
    if permission:
        principal = call.principal
        # The gateway has checked this. Here it holds however the call came: an anonymous call, or a token that does not
        # cover the method, never reaches a handler. What a service may do is for the handler to decide.
        if principal.kind is Kind.ANONYMOUS:
            raise Unauthenticated("Send a Bearer access token.")
        if principal.kind is not Kind.SERVICE and not principal.covers(permission):
            raise Denied(f"The token does not cover {permission}.", reason="insufficient_scope")
        if method.step_up:
            require_step_up(principal, pipeline.clock.time())
    call.roles = pipeline.roles


def keeps_nothing(host: Host, method: Method) -> bool:
    """Whether a reply is the caller's alone: no unit of work commits after it, or remembers it."""
    return host.work is None or method.work is Work.NONE


def undecided(call: Call) -> Refused:
    """A handler has an answer and has asked nobody: a fault of the service's, which gives nothing away."""
    log.error("a method answered without having asked authorise", method=call.method, request_id=call.request_id)
    return Refused("internal error")


def serve(pipeline: Pipeline, host: Host, method: Method, carriage: Carriage) -> Serve:
    """Compiles one method: all that is known beforehand is looked up here, once."""
    permission = method.permission
    handler = getattr(host.instance, method.attr)
    check = pipeline.checks.check(method.request)
    receive, answer, carrier = carriage.receive, carriage.answer, carriage.carrier
    units = host.work
    trail = trail_of(method) if units is not None else None
    keyed = not method.secret_reply
    set_call, set_here = CALL.set, HERE.set

    # Most methods ask for a permission and nothing else: what `admit` asks of the others is settled here.
    plain = permission if permission and method.internal is None and not method.step_up else ""
    roles, user = pipeline.roles, Kind.USER

    def admitted(call: Call, raw: Any) -> Any:
        principal = call.principal
        if plain and principal.kind is user and principal.covers(plain):
            call.roles = roles
        else:
            admit(pipeline, method, call)
        try:
            message = receive(raw)
        except ValueError as error:
            raise not_carried(error) from error
        if check is not None and (faults := check(message)):
            raise Invalid("The request breaks rules of its contract.", faults=faults)
        return message

    def begun(call: Call, raw: Any) -> Handling:
        """NONE, and any method of a service without a database."""
        message = admitted(call, raw)
        context = empty.copy()
        context.run(set_call, call)
        handling = Handling(context, handler(message))
        handling.message = message
        return handling

    def finished(call: Call, reply: Any) -> Any:
        if permission and not call.decided:
            raise undecided(call)
        return answer(reply)

    async def denied(call: Call, handling: Handling | None, refusal: Refused) -> None:
        if trail is not None and units is not None and denies(call, refusal):
            await units.deny(trail.entry(call, None if handling is None else handling.message), refusal)

    async def told(call: Call, raw: Any) -> Any:
        """The same, where the audit log is told of every reply."""
        handling = None
        try:
            handling = begun(call, raw)
            reply = await handling
            if permission and not call.decided:
                raise undecided(call)
        except Refused as refusal:
            await denied(call, handling, refusal)
            raise
        if trail is not None and units is not None and trail.reads:
            entry = trail.entry(call, handling.message)
            entry.reply = reply
            await units.tell(entry)
        return answer(reply)

    async def in_unit(call: Call, raw: Any) -> Any:
        """AUTO and MANUAL."""
        try:
            message = admitted(call, raw)
        except Denied as refusal:
            if trail is not None and units is not None:
                await units.deny(trail.entry(call, None), refusal)
            raise
        entry = trail.entry(call, message) if trail is not None else None

        async def perform(here: Unit | Scope) -> Any:
            call.decided, call.noted = False, ()  # it may be the second attempt
            context = Context()
            context.run(set_call, call)
            context.run(set_here, here)
            reply = await Driven(context, handler(message))
            if permission and not call.decided:
                raise undecided(call)
            if entry is not None:
                entry.reply = reply
            return answer(reply)

        return await run(call, keyed, perform, carrier, entry)

    empty = Context()
    if units is None or keeps_nothing(host, method):
        if units is not None:
            empty.run(set_here, units.reading)
        if trail is not None and trail.reads:
            return guarded(method, carriage.system, told, pipeline.measures)
        return guarded(method, carriage.system, begun, pipeline.measures, finished, None if trail is None else denied)
    run = units.auto if method.work is Work.AUTO else units.manual
    return guarded(method, carriage.system, in_unit, pipeline.measures)
