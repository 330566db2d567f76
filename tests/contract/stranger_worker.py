"""A worker by somebody else: plain grpcio and protobuf, and nothing of the platform.

`python stranger_worker.py DESCRIPTORS` reads a FileDescriptorSet with all imports, serves `trial.v1.Trials` on a free port
and prints the port. It stops when its standard input ends.
"""

from __future__ import annotations

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]  # has no stubs
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from google.rpc.error_details_pb2 import BadRequest, RetryInfo  # type: ignore[import-untyped]  # has no stubs
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # has no stubs

SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"
DETAILS = "grpc-status-details-bin"


class Trials:
    """Does what the field `string` says."""

    def __init__(self, everything: Any) -> None:
        self.everything = everything
        self.serving = True
        self.cancelled = threading.Event()

    def try_everything(self, request: Any, context: Any) -> Any:
        """The only method with an answer."""
        reply = self.everything(string=request.string, int64=request.int64)
        if request.string == "modules":
            reply.strings.extend(sorted({name.partition(".")[0] for name in sys.modules}))
        elif request.string == "metadata":
            for name, value in context.invocation_metadata():
                reply.string_by_string[name] = value
        elif request.string == "deadline":
            reply.double = context.time_remaining()
        elif request.string == "sleep":
            if not context.add_callback(self.cancelled.set):
                self.cancelled.set()  # it was over before we came here
            time.sleep(0.5)  # blocking work, as a worker with threads does it
        elif request.string == "was cancelled":
            reply.bool = self.cancelled.wait(5)
        elif request.string == "ill":
            self.serving = False
        elif request.string == "crash":
            raise KeyError("a secret of the stranger's")
        elif request.string == "refuse":
            self.refuse(context)
        elif request.string.startswith("status "):
            context.abort(grpc.StatusCode[request.string.removeprefix("status ")], "No.")
        return reply

    def refuse(self, context: Any) -> None:
        """A typed error: google.rpc.Status."""
        bad, retry = BadRequest(), RetryInfo()
        bad.field_violations.add(field="/int64", reason="odd", description="Even numbers only.")
        retry.retry_delay.FromMilliseconds(1500)
        status = Status(code=3, message="That is odd.")
        for detail in (bad, retry):
            packed = Packed()
            packed.Pack(detail)
            status.details.append(packed)
        context.set_trailing_metadata(((DETAILS, status.SerializeToString()),))
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "That is odd.")

    def check(self, request: bytes, context: Any) -> bytes:
        """grpc.health.v1.Health/Check."""
        return SERVING if self.serving else NOT_SERVING


def main(descriptors: str) -> None:
    """Serves until nobody holds the other end of standard input."""
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString(Path(descriptors).read_bytes()).file:
        pool.Add(file)
    everything = GetMessageClass(pool.FindMessageTypeByName("trial.v1.Everything"))
    trials = Trials(everything)
    server = grpc.server(ThreadPoolExecutor(4))
    method = grpc.unary_unary_rpc_method_handler(
        trials.try_everything,
        request_deserializer=everything.FromString,
        response_serializer=everything.SerializeToString,
    )
    check = grpc.unary_unary_rpc_method_handler(trials.check)
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler("trial.v1.Trials", {"TryEverything": method}),
            grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": check}),
        )
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    sys.stdin.read()
    server.stop(None).wait()


if __name__ == "__main__":
    main(sys.argv[1])
