"""What crosses from callee to caller: the same whether it went through bytes or not."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import structlog
from google.rpc.status_pb2 import Status as Details  # type: ignore[import-untyped]  # has no stubs
from grpclib import GRPCError
from grpclib.const import Status
from hypothesis import given
from hypothesis import strategies as st

from acme import errors
from acme.context import Call
from acme.contracts.projects.v1 import ProjectsStub
from acme.dispatch import status
from acme.dispatch.measures import Measures
from acme.dispatch.status import STATUS, TRANSPORT, UNREACHABLE, crossing, decode, encode, guarded, received
from acme.errors import Code, Fault, NotFound, Refused, Unavailable
from acme.ports import SerializationFailure
from acme.telemetry import Metrics
from tests.services import ANN, CONTRACTS, refusal
from tests.waiting import sample

TEXT = st.text(st.characters(), max_size=40)
FAULTS = st.lists(st.builds(Fault, TEXT, TEXT, TEXT), max_size=5)
REFUSALS = st.builds(
    status.refused,
    st.sampled_from(Code),
    TEXT,
    TEXT,
    FAULTS,
    st.none() | st.floats(min_value=0, max_value=1e6),
)
KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, Refused) and kind is not Refused
]
METHOD = next(m for m in CONTRACTS.service_of(ProjectsStub).methods if m.attr == "get_project")


@given(REFUSALS)
def test_the_bytes_carry_exactly_what_crosses(refused: Refused) -> None:
    crossed = crossing(refused)
    assert refusal(decode(encode(crossed))) == refusal(crossed)
    assert refusal(crossing(crossed)) == refusal(crossed)


@pytest.mark.parametrize("code", Code)
def test_every_code_has_a_status_and_comes_back_as_the_class_that_bears_it(code: Code) -> None:
    back = decode(encode(status.refused(code, "No.")))
    assert (back.code, back.reason, back.message) == (code, code.value, "No.")
    assert type(back) is {kind.code: kind for kind in KINDS}.get(code, Refused)
    assert STATUS[code] is not Status.OK


def test_a_refusal_of_a_services_own_class_crosses_as_the_platforms() -> None:
    class Archived(errors.Conflict):
        """The project is archived."""

    crossed = crossing(Archived("It is archived.", reason="archived", commit=True))
    assert refusal(crossed) == (errors.Conflict, Code.CONFLICT, "archived", "It is archived.", (), None)
    assert crossed.commit is False


def test_a_service_that_is_unavailable_never_looks_like_one_that_was_not_reached() -> None:
    assert crossing(Unavailable("Later.", reason=UNREACHABLE)).reason == "unavailable"
    assert crossing(Unavailable("Later.", reason="draining")).reason == "draining"


def test_half_of_a_surrogate_pair_becomes_a_question_mark() -> None:
    crossed = crossing(NotFound("\ud800", reason="ü"))
    assert (crossed.message, crossed.reason) == ("?", "ü")


@pytest.mark.parametrize("wait", [math.nan, math.inf, -1.0])
def test_a_wait_that_means_nothing_does_not_cross(wait: float) -> None:
    assert crossing(Refused("x", retry_after=wait)).retry_after is None


def test_as_many_faults_cross_as_a_status_has_room_for() -> None:
    many = [Fault(f"/{number}", "pattern", "m" * 100) for number in range(1000)]
    crossed = crossing(errors.Invalid("Wrong.", faults=many))
    assert 0 < len(crossed.faults) < 1000
    assert crossed.faults == tuple(many[: len(crossed.faults)])
    assert len(encode(crossed)) < 16 * 1024


@pytest.mark.parametrize(
    ("number", "code", "message"),
    [
        (2, Code.INTERNAL, "internal error"),  # what went wrong inside of it is nobody's business
        (6, Code.CONFLICT, "No."),
        (14, Code.UNAVAILABLE, "No."),
        (99, Code.INTERNAL, "internal error"),
    ],
)
def test_the_status_of_a_foreign_service_is_understood(number: int, code: Code, message: str) -> None:
    back = decode(Details(code=number, message="No.").SerializeToString())
    assert (back.code, back.message) == (code, message)
    if number < 17:
        assert refusal(received(number, "No.", None)) == refusal(back)


def test_what_is_no_status_is_no_refusal() -> None:
    for number, details in ((0, None), (17, None), (99, None), (3, b"\xff garbage")):
        with pytest.raises(ValueError, match=r"."):
            received(number, "No.", details)


def test_a_code_of_a_version_ahead_of_ours_is_taken_by_its_status() -> None:
    ahead = encode(crossing(NotFound("No.", reason="gone"))).replace(b"not_found", b"not_knowN")
    assert (decode(ahead).code, decode(ahead).reason) == (Code.NOT_FOUND, "gone")


@pytest.mark.parametrize("reason", sorted(TRANSPORT))
def test_a_service_cannot_say_what_only_a_placement_knows(reason: str) -> None:
    assert crossing(Unavailable("No.", reason=reason)).reason == "unavailable"


# --- the boundary -----------------------------------------------------------------------------------------------------


def call() -> Call:
    return Call("acme.projects.v1.Projects/GetProject", ANN, "req_1", math.inf, "gateway")


async def guarded_outcome(perform: Callable[[Call, Any], Any], metrics: Metrics | None = None) -> Any:
    return await guarded(METHOD, "local", perform, Measures(metrics or Metrics()))(call(), None)


def measured(metrics: Metrics, status: str) -> float:
    """Calls that ended in a status."""
    labels = f'rpc_method="{call().method}",rpc_response_status_code="{status}",rpc_system_name="local"'
    return sample(metrics, f"rpc_server_call_duration_seconds_count{{{labels}}}")


def raising(error: BaseException) -> Callable[[Call, Any], Awaitable[Any]]:
    async def perform(call: Call, raw: Any) -> Any:
        raise error

    return perform


def frames(error: BaseException) -> list[str]:
    trace, names = error.__traceback__, []
    while trace is not None:
        names.append(trace.tb_frame.f_code.co_name)
        trace = trace.tb_next
    return names


async def test_a_refusal_crosses_as_a_new_one_without_cause_context_or_frames() -> None:
    original = NotFound("None.", reason="gone", retry_after=1.0)
    original.__cause__ = original.__context__ = KeyError("secret")
    with pytest.raises(NotFound) as caught:
        await guarded_outcome(raising(original))
    crossed = caught.value
    assert crossed is not original
    assert refusal(crossed) == refusal(original)
    assert (crossed.__cause__, crossed.__context__) == (None, None)
    assert "perform" not in frames(crossed)


async def test_any_other_error_is_internal_and_logged_with_the_request(capsys: pytest.CaptureFixture[str]) -> None:
    with structlog.testing.capture_logs() as logs, pytest.raises(Refused) as caught:
        await guarded_outcome(raising(KeyError("secret")))
    assert (caught.value.code, caught.value.message) == (Code.INTERNAL, "internal error")
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    (line,) = logs
    assert (line["request_id"], line["method"]) == ("req_1", "acme.projects.v1.Projects/GetProject")
    assert isinstance(line["exc_info"], KeyError)


async def test_a_method_that_nobody_wrote_is_unimplemented() -> None:
    with pytest.raises(Refused) as caught:
        await guarded_outcome(raising(GRPCError(Status.UNIMPLEMENTED)))
    assert caught.value.code is Code.UNIMPLEMENTED


async def test_a_serialization_failure_nobody_repeated_is_unavailable() -> None:
    with pytest.raises(Unavailable) as caught:
        await guarded_outcome(raising(SerializationFailure("deadlock")))
    assert caught.value.reason == "contention"


async def test_a_cancellation_nobody_asked_for_is_a_fault_of_the_callee() -> None:
    async def perform(call: Call, raw: Any) -> Any:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    with pytest.raises(Refused) as caught:
        await guarded_outcome(perform)
    assert caught.value.code is Code.INTERNAL


async def test_a_cancellation_of_the_caller_passes_and_is_counted() -> None:
    metrics = Metrics()

    async def perform(call: Call, raw: Any) -> Any:
        await asyncio.Event().wait()

    gathered = asyncio.gather(guarded_outcome(perform, metrics))
    await asyncio.sleep(0)
    gathered.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gathered
    assert measured(metrics, "CANCELLED") == 1.0


async def test_every_end_of_a_call_is_measured_under_its_status() -> None:
    metrics = Metrics()

    async def succeed(call: Call, raw: Any) -> Any:
        return 7

    assert await guarded_outcome(succeed, metrics) == 7
    with pytest.raises(NotFound):
        await guarded_outcome(raising(NotFound("None.")), metrics)
    assert (measured(metrics, "OK"), measured(metrics, "NOT_FOUND")) == (1.0, 1.0)
