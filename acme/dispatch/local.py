"""In this process: the callee gets a compiled copy of the request, the caller one of the reply, with the wire's rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from acme.contract import Message, Method
from acme.dispatch.serve import MESSAGE_LIMIT, Carriage, Host, Pipeline, Serve, not_carried, serve, too_large
from acme.dispatch.streams import Streamed, serve_stream
from acme.work import Carrier

_SMALL: Final = MESSAGE_LIMIT // 10
"""Bytes of JSON that are too few for a message above the limit: what takes ten bytes on the wire, such as a negative number
in a list, is three of JSON, and everything else is no shorter there by more than that."""


def place(pipeline: Pipeline, host: Host, method: Method) -> Serve:
    """One method of a service in this process."""
    wire = pipeline.wire
    carriage = Carriage(
        system="local",
        receive=_copier(pipeline, method.request, "request"),
        answer=_copier(pipeline, method.reply, "reply"),
        carrier=Carrier(pack=wire.encoder(method.reply), unpack=wire.decoder(method.reply)),
    )
    return serve(pipeline, host, method, carriage)


def let_in(pipeline: Pipeline, host: Host, method: Method, fresh: Callable[[Any], Any]) -> Serve:
    """The same for a caller who makes something else of each reply at once, so that it needs no copy: `ports.Front.entry`.
    For methods whose replies are not kept (`keeps_nothing`)."""
    wire = pipeline.wire
    bound, encode = pipeline.sizes.function(method.reply), wire.encoder(method.reply)

    def answer(reply: Any) -> Any:
        made = fresh(reply)
        if len(made[0]) > _SMALL and bound(reply) > MESSAGE_LIMIT and len(encode(reply)) > MESSAGE_LIMIT:
            raise too_large("reply")
        return made

    carriage = Carriage(
        system="local",
        receive=_copier(pipeline, method.request, "request"),
        answer=answer,
        carrier=Carrier(pack=encode, unpack=wire.decoder(method.reply)),
    )
    return serve(pipeline, host, method, carriage)


def place_stream(pipeline: Pipeline, host: Host, method: Method) -> Streamed:
    """One method of a service in this process, that streams. Messages are copied where the caller is."""
    wire, leave = pipeline.wire, _leaving(_copier(pipeline, method.request, "request"))
    served = serve_stream(
        pipeline,
        host,
        method,
        Carriage(
            system="local",
            receive=lambda message: message,
            answer=_copier(pipeline, method.reply, "reply"),
            carrier=Carrier(pack=wire.encoder(method.reply), unpack=wire.decoder(method.reply)),
        ),
    )
    return lambda call, requests: served(call, requests.turned(leave))


def _leaving(copy: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def leave(message: Any) -> Any:
        try:
            return copy(message)
        except ValueError as error:
            raise not_carried(error) from error

    return leave


def _copier(pipeline: Pipeline, message: Message, what: str) -> Callable[[Any], Any]:
    copy, encode = pipeline.wire.copier(message), pipeline.wire.encoder(message)
    if not message.fields:
        return copy
    bound = pipeline.sizes.function(message)

    def limited(value: Any) -> Any:
        copied = copy(value)
        if bound(copied) > MESSAGE_LIMIT and len(encode(copied)) > MESSAGE_LIMIT:
            raise too_large(what)
        return copied

    return limited
