"""In this process, through bytes: request, reply and status take the form they have on the wire.

Nothing is shared with the callee that a wire would not carry. Unit tests run in it, so that no service comes to depend on
sharing an object.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from acme.context import Call
from acme.contract import Method
from acme.dispatch import status
from acme.dispatch.messages import Messages
from acme.dispatch.serve import MESSAGE_LIMIT, Carriage, Host, Pipeline, Serve, not_carried, serve, too_large
from acme.dispatch.streams import Streamed, serve_stream
from acme.errors import Refused
from acme.work import Carrier


def place(pipeline: Pipeline, host: Host, method: Method) -> Serve:
    """One method of a service in this process, called through bytes."""
    wire = pipeline.wire
    write_request, read_reply = wire.encoder(method.request), wire.decoder(method.reply)
    served = serve(pipeline, host, method, carriage(pipeline, method, "loopback"))

    async def send(call: Call, message: Any) -> Any:
        try:
            request = write_request(message)
        except ValueError as error:
            refusal: Refused = not_carried(error)
        else:
            try:
                return read_reply(await served(call, request))
            except Refused as error:
                refusal = status.decode(status.encode(error))
        raise refusal

    return send


def place_stream(pipeline: Pipeline, host: Host, method: Method) -> Streamed:
    """One method of a service in this process, that streams through bytes."""
    write, read = outgoing(pipeline, method), pipeline.wire.decoder(method.reply)
    served = serve_stream(pipeline, host, method, carriage(pipeline, method, "loopback"))

    async def send(call: Call, requests: Messages) -> AsyncGenerator[Any, None]:
        try:
            async with aclosing(served(call, requests.turned(write))) as replies:
                async for reply in replies:
                    yield read(reply)
            return
        except Refused as error:
            refusal = status.decode(status.encode(error))
        raise refusal

    return send


def outgoing(pipeline: Pipeline, method: Method) -> Callable[[Any], bytes]:
    """Request → wire bytes, of a limited size, where the caller is. Raises `Refused` for what cannot be sent."""
    write = pipeline.wire.encoder(method.request)

    def leave(message: Any) -> bytes:
        try:
            data = write(message)
        except ValueError as error:
            raise not_carried(error) from error
        if len(data) > MESSAGE_LIMIT:
            raise too_large("request")
        return data

    return leave


def carriage(pipeline: Pipeline, method: Method, system: str) -> Carriage:
    """Messages and replies as wire bytes, of a limited size: for every placement that has a wire."""
    read, write = pipeline.wire.decoder(method.request), pipeline.wire.encoder(method.reply)

    def receive(request: bytes) -> Any:
        if len(request) > MESSAGE_LIMIT:
            raise too_large("request")
        return read(request)

    def answer(reply: Any) -> bytes:
        data = write(reply)
        if len(data) > MESSAGE_LIMIT:
            raise too_large("reply")
        return data

    return Carriage(system=system, receive=receive, answer=answer, carrier=Carrier(pack=bytes, unpack=bytes))
