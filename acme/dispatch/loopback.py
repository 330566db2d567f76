"""In this process, through bytes: request, reply and status take the form they have on the wire.

Nothing is shared with the callee that a wire would not carry. Unit tests run in it, so that no service comes to depend on
sharing an object.
"""

from __future__ import annotations

from typing import Any

from acme.context import Call
from acme.contract import Method
from acme.dispatch import status
from acme.dispatch.serve import MESSAGE_LIMIT, Carriage, Host, Pipeline, Serve, not_carried, serve, too_large
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


def carriage(pipeline: Pipeline, method: Method, system: str) -> Carriage:
    """Requests and replies as wire bytes, of a limited size: for every placement that has a wire."""
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
