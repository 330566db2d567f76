"""In this process: the callee gets a compiled copy of the request, the caller one of the reply, with the wire's rules."""

from __future__ import annotations

from acme.contract import Method
from acme.dispatch.serve import Carriage, Host, Pipeline, Serve, serve
from acme.work import Carrier


def place(pipeline: Pipeline, host: Host, method: Method) -> Serve:
    """One method of a service in this process."""
    wire = pipeline.wire
    carriage = Carriage(
        system="local",
        receive=wire.copier(method.request),
        answer=wire.copier(method.reply),
        carrier=Carrier(pack=wire.encoder(method.reply), unpack=wire.decoder(method.reply)),
    )
    return serve(pipeline, host, method, carriage)
