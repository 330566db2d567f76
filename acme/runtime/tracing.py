"""The way of one request through all processes of a machine, as each remembers it; `acme trace` shows it.

No collector is asked: every process has its latest requests in memory (`acme/traces.py`), and tells of them over its control
socket. Steps of several processes are put together by the ids that went along with the calls and events between them.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import msgspec

from acme import drivers
from acme.config import ConfigError
from acme.drivers.postgres.measures import summary
from acme.runtime import control
from acme.runtime.runfolder import RunFolder
from acme.runtime.settings import Config
from acme.tasks import Tasks
from acme.telemetry import Metrics
from acme.traces import HTTP, SQL, TRACEPARENT, Span, Trace, Tracer

MOST: Final = 50
"""Traces of one name that a process tells of: the latest."""


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that was done."""

    kind: str
    """One of the kinds in `acme/traces.py`, or a part of a request at the gateway: "let in", "decoded", "answered"."""
    name: str
    at: float
    """When it began, in seconds since the Unix epoch, by the clock of its process."""
    seconds: float
    outcome: str = ""
    detail: str = ""
    id: str = ""
    """W3C's id of the span, 16 hexadecimal digits; "" of a part."""
    parent: str = ""
    """That of the step around it, perhaps in another process; "" where there is none."""


class Told(msgspec.Struct, frozen=True, omit_defaults=True):
    """A request, or a batch of events, in one process."""

    id: str
    """W3C's id of its first step, which may not have ended."""
    request_id: str
    trace_id: str
    sampled: bool
    """Whether it is for the collector."""
    ended: bool
    steps: tuple[Step, ...]
    process: str = ""
    why: str = ""
    """Reason of the refusal that it ended in."""
    lost: int = 0
    """Steps beyond those that are kept."""
    causes: tuple[str, ...] = ()
    """Ids of the requests that it goes back to, where they are several."""


class Found(msgspec.Struct, frozen=True):
    """What all processes tell."""

    traces: tuple[Told, ...]
    """By when they began."""
    silent: tuple[str, ...] = ()
    """Who did not answer."""


async def start(
    config: Config, process: str, version: str, metrics: Metrics, tasks: Tasks, stack: AsyncExitStack
) -> Tracer:
    """The tracer of this process, with its collector if there is one; that gets the last traces when `stack` ends.

    Raises:
        ConfigError: what is needed for that is not installed.
    """
    settings = config.traces
    tracer = Tracer(settings)
    if settings.otlp:
        resource = {
            "service.namespace": "acme",
            "service.name": process,
            "service.version": version,
            "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
            "cloud.region": config.platform.region,
            "telemetry.sdk.name": "acme",
            "telemetry.sdk.language": "python",
        }
        try:
            exporter = drivers.open_traces(
                settings.otlp,
                tasks=tasks,
                metrics=metrics,
                resource=resource,
                headers=settings.headers,
                timeout=settings.timeout,
                queue=settings.queue,
            )
        except ValueError as error:
            raise ConfigError(f"traces.otlp: {error}") from error
        stack.push_async_callback(exporter.close)
        tracer.export = exporter.put
    return tracer


def told(tracer: Tracer, name: str) -> list[Any]:
    """What this process remembers of a request id, or of a trace id, as JSON carries it."""
    return [msgspec.to_builtins(_told(trace)) for trace in tracer.find(name)[-MOST:]]


def _told(trace: Trace) -> Told:
    if trace.sampled is None and any(not number for number, *_ in trace.spans):
        trace.sampled = False  # it has ended, and was not
    trace.identify()
    spans = [Span(*each) for each in trace.spans]
    epoch = time.time() - time.monotonic()
    steps = [_step(trace, span, epoch) for span in spans]
    root = next((span for span in spans if not span.number), None)
    if root is not None and root.kind == HTTP and trace.let_in:
        steps += _parts(trace, root, spans, epoch)
    return Told(
        id=trace.span_id(0),
        request_id=trace.request_id,
        trace_id=trace.id,
        sampled=bool(trace.sampled),
        ended=root is not None,
        steps=tuple(sorted(steps, key=lambda step: (step.at, -step.seconds))),
        why=trace.why,
        lost=trace.lost,
        causes=tuple(cause for cause, _ in trace.causes),
    )


def _step(trace: Trace, span: Span, epoch: float) -> Step:
    if span.parent >= 0:
        parent = trace.span_id(span.parent)
    else:
        found = TRACEPARENT.fullmatch(trace.caller)
        parent = found[2] if found is not None else ""
    return Step(
        kind=span.kind,
        name=summary(span.name) if span.kind == SQL else span.name,
        at=epoch + span.started,
        seconds=span.ended - span.started,
        outcome=str(span.outcome),
        detail=span.detail,
        id=trace.span_id(span.number),
        parent=parent,
    )


def _parts(trace: Trace, root: Span, spans: Sequence[Span], epoch: float) -> list[Step]:
    """What the gateway did around the call: route, limits and token, the body, the answer."""
    around = trace.span_id(0)
    inside = [span for span in spans if span.parent == 0 and span.started >= trace.let_in]

    def part(kind: str, started: float, ended: float) -> Step:
        return Step(kind, "", epoch + started, max(0.0, ended - started), parent=around)

    parts = [part("let in", root.started, trace.let_in)]
    if inside:
        parts.append(part("decoded", trace.let_in, min(span.started for span in inside)))
        parts.append(part("answered", max(span.ended for span in inside), root.ended))
    return parts


async def find(data: Path, name: str) -> Found:
    """Asks every process that runs on a data folder for a request id, or a trace id, and then for whatever belongs to the
    same traces."""
    if not (data / "run").is_dir():
        return Found(())
    folder = RunFolder(data)
    try:
        first = await _ask(folder, name)
        traces = {each.trace_id for each in first.traces} - {name}
        others = [await _ask(folder, trace) for trace in sorted(traces)]
    finally:
        folder.close()
    seen = {each.id: each for found in (first, *others) for each in found.traces}
    ordered = sorted(seen.values(), key=lambda each: each.steps[0].at if each.steps else 0.0)
    return Found(tuple(ordered), tuple(dict.fromkeys(line for found in (first, *others) for line in found.silent)))


async def _ask(folder: RunFolder, name: str) -> Found:
    traces: list[Told] = []
    silent: list[str] = []
    for file in folder.controls():
        try:
            answers = msgspec.convert(await control.ask(folder, file, "trace", {"name": name}), list[Told])
        except control.Silent as error:
            silent.append(str(error))
        except msgspec.ValidationError as error:
            silent.append(f"{file}: the answer is of another version ({error})")
        else:
            process = file.removesuffix(".sock").removeprefix("control").removeprefix("-") or "platform"
            traces += [msgspec.structs.replace(each, process=process) for each in answers]
    return Found(tuple(traces), tuple(silent))
