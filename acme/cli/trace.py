"""How `acme trace` shows the way of a request."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from acme.runtime.tracing import Found, Step, Told
from acme.traces import CALL, DELIVERY, EVENT, HTTP, PROCESS, RELAY, SENT, SQL, TOKEN, WAIT

_WIDTH: Final = 400
"""Columns: a terminal breaks lines where it ends, and rich would cut statements there."""
_SAID: Final = {
    "let in": "route, limits and token passed",
    "decoded": "body read and decoded",
    "answered": "answer made and written",
    TOKEN: "access token verified, which was not known yet",
}
_WELL: Final = frozenset({"", "OK"})


class _Line(NamedTuple):
    depth: int
    process: str
    step: Step


def print_json(found: Found) -> None:
    """One JSON object: `traces`, each with its `steps`, and `silent` for processes that did not answer."""
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
    sys.stdout.buffer.flush()


def print_way(found: Found, console: Console | None = None) -> None:
    """For people: each trace as a table of steps, in the order of time, each below the one that caused it."""
    console = console or Console(highlight=False, soft_wrap=True, width=_WIDTH)
    for number, trace_id in enumerate(dict.fromkeys(each.trace_id for each in found.traces)):
        parts = [each for each in found.traces if each.trace_id == trace_id]
        if number:
            console.print()
        console.print(_head(trace_id, parts))
        console.print(_table(parts))
        for each in parts:
            if each.lost:
                console.print(Text(f"  {each.process}: {each.lost} steps more were not kept", "yellow"))
    for line in found.silent:
        console.print(Text(f"  {line}", "red"))


def _head(trace_id: str, parts: Sequence[Told]) -> Text:
    requests = dict.fromkeys(name for each in parts for name in (each.causes or (each.request_id,)))
    began = min((each.steps[0].at for each in parts if each.steps), default=0.0)
    head = Text.assemble(("request ", "cyan"), ", ".join(requests), ("  trace ", "cyan"), trace_id)
    head.append(f"  {datetime.fromtimestamp(began, UTC).isoformat(timespec='milliseconds').replace('+00:00', 'Z')}")
    if any(each.sampled for each in parts):
        head.append("  sampled", "green")
    for each in parts:
        if not each.ended:
            head.append(f"  still under way in {each.process}", "yellow")
        if each.why:
            head.append(f"  refused: {each.why}", "red")
    return head


def _table(parts: Sequence[Told]) -> Table:
    table = Table(box=None, padding=(0, 2), header_style="cyan")
    table.add_column("at ms", justify="right", no_wrap=True)
    table.add_column("took ms", justify="right", no_wrap=True)
    table.add_column("process", no_wrap=True)
    table.add_column("step", no_wrap=True)
    lines = list(_lines(parts))
    began = min((line.step.at for line in lines), default=0.0)
    for depth, process, step in lines:
        text = Text("  " * depth + _told(step))
        if step.outcome and not (step.kind == HTTP and step.outcome < "500") and step.outcome not in _WELL:
            text.stylize("red")
        table.add_row(f"{(step.at - began) * 1000:.2f}", f"{step.seconds * 1000:.2f}", process, text)
    return table


def _lines(parts: Sequence[Told]) -> Iterator[_Line]:
    """The steps of all processes as one tree. What belongs to a step that is not known comes first of all."""
    steps = sorted(
        (_Line(0, each.process, step) for each in parts for step in each.steps),
        key=lambda line: (line.step.at, -line.step.seconds),
    )
    known = {line.step.id for line in steps if line.step.id}
    below: dict[str, list[_Line]] = {}
    for line in steps:
        below.setdefault(line.step.parent if line.step.parent in known else "", []).append(line)

    def walk(parent: str, depth: int) -> Iterator[_Line]:
        for line in below.pop(parent, ()):
            yield line._replace(depth=depth)
            if line.step.id:
                yield from walk(line.step.id, depth + 1)

    yield from walk("", 0)


def _told(step: Step) -> str:
    said = _SAID.get(step.kind)
    if said is not None:
        return said
    end = "" if step.outcome in _WELL else f" → {step.outcome}"
    if step.kind == HTTP:
        return f"{step.name} {step.detail or '(no route)'}{end}"
    if step.kind == CALL:
        return f"{step.name} served ({step.detail}){end}"
    if step.kind == SENT:
        return f"{step.name} called at {step.detail}{end}"
    if step.kind == SQL:
        return f"sql {step.detail}: {step.name}{end}"
    if step.kind == WAIT:
        return f"waited for a connection of {step.detail}"
    if step.kind == EVENT:
        plugin, _, count = step.detail.partition(" ")
        return f"{count} event{'s' if count != '1' else ''} of {plugin} left for {step.name}"
    if step.kind == RELAY:
        return f"event of {step.detail} sent to {step.name}{end}"
    if step.kind == PROCESS:
        return f"{step.detail} heard {step.name}{end}"
    if step.kind == DELIVERY:
        plugin, _, number = step.detail.partition(" ")
        again = f", attempt {number}" if number != "1" else ""
        return f"{step.name} of {plugin} {'failed' if end else 'carried out'}{again}{end}"
    return f"{step.kind} {step.name}{end}"
