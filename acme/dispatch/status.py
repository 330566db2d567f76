"""What crosses from callee to caller when a call fails: one table of codes, one form in bytes, one boundary.

The bytes are what gRPC puts into the trailer `grpc-status-details-bin`: `google.rpc.Status` with `ErrorInfo` (reason and
code), `BadRequest` (faults) and `RetryInfo`, so that clients of other makes read them too. A status without our
`ErrorInfo` was not made by a service of ours.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final, Protocol, TypeVar

from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo  # type: ignore[import-untyped]  # has no stubs
from google.rpc.status_pb2 import Status as Details  # type: ignore[import-untyped]  # has no stubs
from grpclib import GRPCError
from grpclib.const import Status

from acme.context import Call
from acme.contract import Method
from acme.dispatch.measures import Measures
from acme.errors import (
    Code,
    Conflict,
    DeadlineExceeded,
    Denied,
    Exhausted,
    Fault,
    Invalid,
    Malformed,
    NotFound,
    Refused,
    Stale,
    TooLarge,
    Unauthenticated,
    Unavailable,
    Unconditional,
)
from acme.ports import SerializationFailure
from acme.telemetry import logger
from acme.traces import CALL, LONGEST, Trace

log: Final = logger(__name__)

STATUS: Final[Mapping[Code, Status]] = {
    Code.MALFORMED: Status.INVALID_ARGUMENT,
    Code.INVALID: Status.INVALID_ARGUMENT,
    Code.UNAUTHENTICATED: Status.UNAUTHENTICATED,
    Code.DENIED: Status.PERMISSION_DENIED,
    Code.NOT_FOUND: Status.NOT_FOUND,
    Code.CONFLICT: Status.ABORTED,
    Code.UNCONDITIONAL: Status.FAILED_PRECONDITION,
    Code.STALE: Status.FAILED_PRECONDITION,
    Code.TOO_LARGE: Status.RESOURCE_EXHAUSTED,
    Code.EXHAUSTED: Status.RESOURCE_EXHAUSTED,
    Code.CANCELLED: Status.CANCELLED,
    Code.INTERNAL: Status.INTERNAL,
    Code.UNIMPLEMENTED: Status.UNIMPLEMENTED,
    Code.UNAVAILABLE: Status.UNAVAILABLE,
    Code.DEADLINE: Status.DEADLINE_EXCEEDED,
}
"""Code → gRPC status. Where two codes share one, `ErrorInfo` tells them apart."""

_CODES: Final[Mapping[Status, Code]] = {
    **{status: code for code, status in STATUS.items()},  # of two, the later: INVALID, STALE, EXHAUSTED
    Status.UNKNOWN: Code.INTERNAL,
    Status.ALREADY_EXISTS: Code.CONFLICT,
    Status.OUT_OF_RANGE: Code.INVALID,
    Status.DATA_LOSS: Code.INTERNAL,
}
"""gRPC status of somebody else's service → Code."""

UNREACHABLE: Final = "unreachable"
"""Reason of an `Unavailable` that says that the callee was not reached: nothing was done."""
OUTCOME_UNKNOWN: Final = "outcome_unknown"
"""Reason of an `Unavailable` that says that it may have been done: the answer was lost or not understood, or a service
lost its database while committing."""
MISMATCH: Final = "contract_mismatch"
"""Reason of an `Unavailable` that says that the callee keeps another contract: nothing was done."""
TRANSPORT: Final = frozenset({UNREACHABLE, MISMATCH})
"""Reasons that only placements give, since they promise that nothing was done: a service that raises one itself, or passes
one on, is heard as "unavailable". That an outcome is unknown may be true of its own commit, and crosses."""

DOMAIN: Final = "acme"
"""`ErrorInfo.domain` of ours."""

_CLASSES: Final[Mapping[Code, type[Refused]]] = {
    kind.code: kind
    for kind in (
        Malformed,
        Invalid,
        Unauthenticated,
        Denied,
        NotFound,
        Conflict,
        Stale,
        Unconditional,
        TooLarge,
        Exhausted,
        Unavailable,
        DeadlineExceeded,
    )
}

_ROOM: Final = 8 * 1024
"""Characters of all faults together that a status carries: it travels in HTTP trailers. The rest is left out."""


def refused(
    code: Code, message: str, reason: str = "", faults: Sequence[Fault] = (), retry_after: float | None = None
) -> Refused:
    """A refusal of the class that belongs to its code, so that `except NotFound` works wherever the callee runs."""
    kind = _CLASSES.get(code, Refused)
    made = kind.__new__(kind, message)
    Refused.__init__(made, message, code=code, reason=reason, faults=faults, retry_after=retry_after)
    return made


def crossing(refusal: Refused) -> Refused:
    """What a caller gets for a refusal: equal to what the bytes would carry, in every placement."""
    faults, room = [], _ROOM
    for fault in refusal.faults:
        room -= len(fault.pointer) + len(fault.code) + len(fault.message)
        if room < 0:
            break
        faults.append(Fault(_text(fault.pointer), _text(fault.code), _text(fault.message)))
    reason = _text(refusal.reason)
    if reason in TRANSPORT:
        reason = refusal.code.value
    wait = refusal.retry_after
    if wait is not None:
        wait = round(wait, 3) if 0 <= wait < math.inf else None
    return refused(refusal.code, _text(refusal.message), reason, faults, wait)


def encode(refusal: Refused) -> bytes:
    """`google.rpc.Status` of a refusal that is `crossing`."""
    details = Details(code=STATUS[refusal.code].value, message=refusal.message)
    details.details.add().Pack(ErrorInfo(reason=refusal.reason, domain=DOMAIN, metadata={"code": refusal.code.value}))
    if refusal.faults:
        bad = BadRequest()
        for fault in refusal.faults:
            bad.field_violations.add(field=fault.pointer, reason=fault.code, description=fault.message)
        details.details.add().Pack(bad)
    if refusal.retry_after is not None:
        retry = RetryInfo()
        retry.retry_delay.FromMilliseconds(round(refusal.retry_after * 1000))
        details.details.add().Pack(retry)
    data: bytes = details.SerializeToString()
    return data


def decode(data: bytes) -> Refused:
    """The refusal that `encode` wrote. Of a foreign service's status, code, message and retry delay are taken.

    Raises:
        ValueError: these bytes are no status.
    """
    try:
        status = Details.FromString(data)
    except DecodeError:
        raise ValueError("these bytes are no google.rpc.Status") from None
    code = _CODES.get(_status(status.code), Code.INTERNAL)
    reason, faults, wait, ours = "", [], None, False
    info, bad, retry = ErrorInfo(), BadRequest(), RetryInfo()
    for detail in status.details:
        if detail.Is(ErrorInfo.DESCRIPTOR) and detail.Unpack(info) and info.domain == DOMAIN:
            code, reason, ours = _code(info.metadata["code"], code), info.reason, True
        elif detail.Is(BadRequest.DESCRIPTOR) and detail.Unpack(bad):
            faults = [Fault(each.field, each.reason, each.description) for each in bad.field_violations]
        elif detail.Is(RetryInfo.DESCRIPTOR) and detail.Unpack(retry):
            wait = retry.retry_delay.ToMilliseconds() / 1000
    return refused(code, status.message, reason, faults, wait) if ours else _foreign(code, status.message, faults, wait)


def received(number: int, message: str, details: bytes | None) -> Refused:
    """The refusal that came as `grpc-status`, `grpc-message` and `grpc-status-details-bin`.

    Raises:
        ValueError: the number is no status of gRPC, or means success; or the details are none.
    """
    if number == Status.OK.value:
        raise ValueError("a success is no refusal")
    status = Status(number)
    if details is not None:
        return decode(details)
    return _foreign(_CODES[status], message, (), None)


def _foreign(code: Code, message: str, faults: Sequence[Fault], wait: float | None) -> Refused:
    """Of somebody else's service: what went wrong inside of it is nobody's business."""
    if code is Code.INTERNAL:
        message = "internal error"
    if wait is None and code in (Code.UNAVAILABLE, Code.EXHAUSTED):
        wait = 1.0
    return crossing(refused(code, message, "", faults, wait))


def guarded(
    method: Method,
    system: str,
    perform: Callable[[Call, Any], Awaitable[Any]],
    measures: Measures,
    finish: Callable[[Call, Any], Any] | None = None,
    denied: Callable[[Call, Any, Refused], Awaitable[None]] | None = None,
) -> Callable[[Call, Any], Coroutine[Any, Any, Any]]:
    """`perform`, and `finish` with its outcome, inside the boundary: it returns, is cancelled, or raises a `Refused` that
    may cross. Measured. `denied` hears of a refusal before it crosses, with what `perform` returned to be awaited, or
    `None`. (A coroutine that does the three would cost a call 2 thousand instructions more.)"""
    name = method.path[1:]
    clock = time.monotonic
    durations, active = measures.durations, measures.active(method.service)
    succeeded = durations.bind(system, name, Status.OK.name).observe

    def ended(call: Call, started: float, said: Status) -> None:
        now = clock()
        durations.bind(system, name, said.name).observe(now - started)
        if call.trace is not None:
            recorded(call.trace, call, name, started, now, said, system)

    async def guard(call: Call, raw: Any) -> Any:
        started = clock()
        active.count += 1
        try:
            step = None
            try:
                step = perform(call, raw)
                reply = await step
                if finish is not None:
                    reply = finish(call, reply)
            except Refused as error:
                if denied is not None:
                    await denied(call, step, error)
                raise
        except Refused as error:
            refusal = crossing(error)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                late = time.monotonic() >= call.deadline
                ended(call, started, STATUS[Code.DEADLINE if late else Code.CANCELLED])
                raise
            # Nobody cancels us: the callee awaited something that somebody else had cancelled. A fault of the callee's.
            refusal = _unexpected(error, call)
        except Exception as error:
            refusal = _unexpected(error, call)
        else:
            now = clock()
            succeeded(now - started)
            if (trace := call.trace) is not None:
                if (number := call.span) and number < LONGEST:  # said again: a call of its own is 0.1 µs
                    trace.spans.append((number, call.parent, CALL, name, started, now, "OK", system))
                else:
                    recorded(trace, call, name, started, now, Status.OK, system)
            return reply
        finally:
            active.count -= 1
        ended(call, started, STATUS[refusal.code])
        # Outside of the handlers above: a refusal that crosses has no context.
        raise refusal

    return guard


class Source(Protocol):
    """Where the requests of a stream come from: `messages.Messages`."""

    @property
    def failure(self) -> BaseException | None: ...


S = TypeVar("S", bound=Source)


async def kept(step: Awaitable[Any], turns: Sequence[Callable[[Any], Any]]) -> tuple[Any, BaseException | None]:
    """A message that the caller's own code makes, changed by `turns`; or else its error, which is for the caller alone and
    given back to it. The end, and a cancellation, pass."""
    try:
        message = await step
        for turn in turns:
            message = turn(message)
    except (StopAsyncIteration, asyncio.CancelledError):
        raise
    except BaseException as error:
        return None, error
    return message, None


def guarded_stream(
    method: Method,
    system: str,
    perform: Callable[[Call, S], AsyncGenerator[Any, None]],
    measures: Measures,
) -> Callable[[Call, S], AsyncGenerator[Any, None]]:
    """`guarded` for a call that streams: a refusal comes after the replies before it. Whoever closes it is told nothing."""
    name = method.path[1:]
    clock = time.monotonic
    durations, active = measures.durations, measures.active(method.service)

    async def guard(call: Call, requests: S) -> AsyncGenerator[Any, None]:
        started, said, gone = clock(), Status.CANCELLED, False
        refusal: Refused | None = None
        active.count += 1
        try:
            async with aclosing(perform(call, requests)) as replies:
                async for reply in replies:
                    try:
                        yield reply
                    except GeneratorExit:
                        gone = True
                        raise
            said = Status.OK
        except Refused as error:
            refusal = crossing(error)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if requests.failure is not None or task is None or task.cancelling():
                said = Status.DEADLINE_EXCEEDED if time.monotonic() >= call.deadline else Status.CANCELLED
                raise
            refusal = _unexpected(error, call)
        except Exception as error:
            refusal = _unexpected(error, call)
        finally:
            active.count -= 1
            if refusal is not None:
                said = STATUS[refusal.code]
            now = clock()
            durations.bind(system, name, said.name).observe(now - started)
            if call.trace is not None:
                recorded(call.trace, call, name, started, now, said, system)
        # Outside of the handlers above: a refusal that crosses has no context.
        if refusal is not None and not gone:
            raise refusal

    return guard


FAULTS: Final = frozenset(
    {
        Status.UNKNOWN,
        Status.DEADLINE_EXCEEDED,
        Status.UNIMPLEMENTED,
        Status.INTERNAL,
        Status.UNAVAILABLE,
        Status.DATA_LOSS,
    }
)
"""What a server answers by a fault of its own (OpenTelemetry's conventions for gRPC)."""


def recorded(
    trace: Trace, call: Call, name: str, started: float, ended: float, said: Status, system: str, kind: str = CALL
) -> None:
    """A call that was served, or sent, is a step of its trace; the first step of this process ends it."""
    trace.end(call.span, call.parent, kind, name, started, ended, said.name, system)
    if not call.span:
        trace.tracer.end(trace, ended - started, said in FAULTS)


def _unexpected(error: BaseException, call: Call) -> Refused:
    if isinstance(error, GRPCError) and error.status is Status.UNIMPLEMENTED:  # what a generated base raises
        return refused(Code.UNIMPLEMENTED, f"{call.method} is not implemented.")
    if isinstance(error, SerializationFailure):
        return refused(Code.UNAVAILABLE, "Too many changes at once: try again.", "contention", retry_after=1.0)
    log.error("call failed", method=call.method, request_id=call.request_id, caller=call.service, exc_info=error)
    return refused(Code.INTERNAL, "internal error")


def _status(number: int) -> Status:
    try:
        return Status(number)
    except ValueError:
        return Status.UNKNOWN


def _code(name: str, otherwise: Code) -> Code:
    """A code by its name, which may be of a version ahead of ours."""
    try:
        return Code(name)
    except ValueError:
        return otherwise


def _text(text: str) -> str:
    """As UTF-8 carries it: a lone surrogate becomes a question mark."""
    return text if text.isascii() else text.encode(errors="replace").decode()
