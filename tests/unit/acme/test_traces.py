"""What a request does, step by step; which traces are kept, and for how long."""

from __future__ import annotations

from typing import Any

import pytest

from acme.traces import CALL, HTTP, LONGEST, SQL, TRACEPARENT, UNTRACED, Span, Trace, Tracer, TraceSettings

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = CALLER[:-1] + "0"


def tracer(**settings: Any) -> Tracer:
    """A tracer that samples nothing unless asked to."""
    return Tracer(TraceSettings(**{"ratio": 0.0, **settings}))


def ended(one: Tracer, name: str, seconds: float = 0.01, *, failed: bool = False, **known: Any) -> Trace:
    """A trace that has ended."""
    trace = Trace(name, one, **known)
    trace.end(0, -1, HTTP, "GET", 1.0, 1.0 + seconds, "200", "/v1/things")
    one.end(trace, seconds, failed)
    return trace


def test_a_trace_without_a_caller_makes_up_ids_of_the_form_of_w3c_and_keeps_them() -> None:
    trace = Trace("r-1", tracer())
    found = TRACEPARENT.fullmatch(trace.traceparent(1))
    assert found is not None
    assert (found[1], found[2], found[3]) == (trace.id, trace.span_id(1), "00")
    assert trace.traceparent(1) == trace.traceparent(1) != trace.traceparent(2)


def test_a_trace_continues_that_of_its_caller_with_spans_of_its_own() -> None:
    trace = Trace("r-1", tracer(), CALLER)
    found = TRACEPARENT.fullmatch(trace.traceparent(0))
    assert found is not None
    assert found[1] == "0af7651916cd43dd8448eb211c80319c"
    assert found[2] != "b7ad6b7169203331"


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        CALLER[:-1],
        CALLER + "0",
        CALLER.upper(),
        "01" + CALLER[2:],
        "00-" + "0" * 32 + CALLER[35:],
        CALLER[:36] + "0" * 16 + "-01",
    ],
)
def test_what_is_no_trace_context_is_none(wrong: str) -> None:
    assert TRACEPARENT.fullmatch(wrong) is None


@pytest.mark.parametrize(("caller", "flags"), [(CALLER, "01"), (UNSAMPLED, "00")])
def test_the_decision_of_a_caller_is_followed_whatever_the_ratio(caller: str, flags: str) -> None:
    for ratio in (0.0, 1.0):
        assert Trace("r-1", tracer(ratio=ratio), caller).traceparent(1).endswith(f"-{flags}")


def test_a_caller_decides_nothing_where_it_is_not_to() -> None:
    assert Trace("r-1", tracer(parent=False), CALLER).traceparent(1).endswith("-00")
    assert Trace("r-1", tracer(parent=False, ratio=1.0), UNSAMPLED).traceparent(1).endswith("-01")


def test_the_decision_is_made_once() -> None:
    one = tracer(ratio=1.0)
    trace = Trace("r-1", one)
    assert trace.traceparent(1).endswith("-01")
    one.configure(TraceSettings(ratio=0.0))
    exported: list[Trace] = []
    one.export = exported.append
    one.end(trace, 0.01, failed=False)
    assert exported == [trace]


def test_a_ratio_samples_that_part_of_the_requests() -> None:
    exported: list[Trace] = []
    one = tracer(ratio=0.25)
    one.export = exported.append
    for number in range(4000):
        ended(one, f"r-{number}")
    assert 800 < len(exported) < 1200  # six standard deviations


@pytest.mark.parametrize(("seconds", "failed", "kept"), [(0.01, False, False), (0.01, True, True), (1.0, False, True)])
def test_what_failed_or_was_slow_is_exported_though_nobody_sampled_it(seconds: float, failed: bool, kept: bool) -> None:
    exported: list[Trace] = []
    one = tracer(slow=1.0)
    one.export = exported.append
    trace = ended(one, "r-1", seconds, failed=failed)
    assert exported == ([trace] if kept else [])


def test_the_latest_are_remembered_and_what_was_kept_for_longer() -> None:
    one = tracer(recent=10, kept=2)
    for number in range(3):
        ended(one, f"bad-{number}", failed=True)
    for number in range(20):
        ended(one, f"r-{number}")
    assert {trace.request_id for trace in one.traces()} == {"bad-1", "bad-2", *(f"r-{n}" for n in range(10, 20))}
    assert [trace.request_id for trace in one.find("bad-2")] == ["bad-2"]
    assert one.find("bad-0") == []


def test_what_the_gateway_refuses_does_not_push_out_what_was_served() -> None:
    one = tracer(recent=10)
    ended(one, "served")
    for number in range(100):
        ended(one, f"refused-{number}", called=False)
    assert one.find("served")
    assert len(list(one.traces())) == 1 + 2


def test_of_a_second_no_more_are_remembered_than_there_is_room_for_and_all_that_failed() -> None:
    one = tracer(recent=100, rate=3)
    for second in (0.0, 10.0, 20.0):
        for number in range(8):
            trace = Trace(f"r-{second}-{number}", one)
            trace.add(0, SQL, "SELECT 1", second + number / 10, second + number / 10, "", "things")
            one.end(trace, 0.1, failed=number == 7)
    found = [len(one.find(f"r-{second}-{number}")) for second in (10.0, 20.0) for number in range(8)]
    assert found == [0, 1, 1, 1, 0, 0, 0, 1] * 2, "the first that finds no room begins a second"


def test_a_trace_is_found_by_its_id_by_what_caused_it_and_while_it_lasts() -> None:
    one = tracer()
    running = Trace("r-1", one, CALLER)
    one.running.append(lambda: [running])
    batch = ended(one, "", causes=(("r-7", UNSAMPLED), ("r-8", "")))
    running.identify()
    assert one.find("r-1") == [running]
    assert one.find("0af7651916cd43dd8448eb211c80319c") == [batch, running]
    assert one.find("r-8") == [batch]


def test_other_settings_keep_what_there_is_room_for() -> None:
    one = tracer(recent=10)
    for number in range(10):
        ended(one, f"r-{number}")
    one.configure(TraceSettings(recent=3))
    assert [trace.request_id for trace in one.traces()] == ["r-7", "r-8", "r-9"]
    one.configure(UNTRACED)
    assert one.on is False
    assert list(one.traces()) == []


def test_steps_beyond_the_limit_are_counted_and_not_kept() -> None:
    trace = Trace("r-1", tracer())
    for _ in range(LONGEST + 5):
        trace.add(1, SQL, "SELECT 1", 1.0, 2.0, "", "things")
    assert (len(trace.spans), trace.lost) == (LONGEST - 2, 7)


def test_a_span_says_what_was_recorded() -> None:
    trace = Trace("r-1", tracer())
    trace.end(trace.begin(), 0, CALL, "a.B/C", 1.0, 2.5, "OK", "local")
    span = Span(*trace.spans[0])
    assert (span.number, span.parent, span.kind, span.ended - span.started) == (2, 0, CALL, 1.5)


def test_headers_of_the_collector_are_not_shown() -> None:
    assert "hunter2" not in repr(TraceSettings(headers={"x-api-key": "hunter2"}))
