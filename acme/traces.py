"""Traces: what a request did in this process, step by step, and which of them somebody wants to keep.

A `Trace` is one request (or one batch of events) in one process: a list of spans, each a tuple with two readings of the
clock that were mostly taken anyway. Every request is recorded, because that costs a microsecond or two; ids are made up only
for those that leave the process, in W3C's `traceparent` (Trace Context, level 1), so that the parts in several processes are
one trace. The `Tracer` of a process keeps the latest ones for `acme trace`, and gives to an exporter those that are sampled:
by the caller's decision, by a ratio, and, once it is known how they ended, those that failed or were slow.

The SDK of OpenTelemetry takes 20 µs a span; its names and protocol are used all the same (`acme/drivers/otlp.py`).

Nothing personal is in a span: names of methods, templates of routes, statements with placeholders, codes.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from random import getrandbits, random
from typing import Annotated, Any, Final, NamedTuple

import msgspec

HTTP: Final = "http"
"""A request at the gateway: its verb, route and status."""
TOKEN: Final = "token"  # noqa: S105 - the name of a step
"""An access token that was not known yet was verified."""
CALL: Final = "call"
"""A method was served: its name, status and placement."""
SENT: Final = "sent"
"""A method was called in another process: its name, status and address."""
SQL: Final = "sql"
"""A statement: its text, what became of it, and the database."""
WAIT: Final = "wait"
"""A connection of a database was waited for."""
EVENT: Final = "event"
"""Events were written with a commit: their topic, and how many."""
RELAY: Final = "relay"
"""An event went from the outbox to the bus."""
PROCESS: Final = "process"
"""A consumer heard events: their topic, the error, and the consumer."""
DELIVERY: Final = "delivery"
"""What a commit asked for was carried out, such as a mail: its kind, the error, and plugin and number of the attempt."""

TRACEPARENT: Final = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
"""The header's value: trace id, id of the caller's span, flags."""
SAMPLED: Final = 1
"""The flag that says that the caller records the trace (Trace Context, section 3.2.2.5.1)."""
LONGEST: Final = 1000
"""Spans of one trace that are kept; what comes after is counted in `Trace.lost`."""


class Span(NamedTuple):
    """One step. Where it is recorded it is a plain tuple of these."""

    number: int
    """Within its trace; 0 is the first of this process."""
    parent: int
    """Number of the step around it; -1: none in this process."""
    kind: str
    name: str
    started: float
    """`time.monotonic()`, as `ended`."""
    ended: float
    outcome: str
    """What became of it, by kind; "" where all was well and nothing has to be said."""
    detail: str


class TraceSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[traces]`."""

    recent: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 5000
    """Requests that each process remembers for `acme trace`, about 1 KB each; 0 records nothing, and exports nothing."""
    rate: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 250
    """Of those of one second, so many. Nobody asks for one of ten thousand by its id, and memory that is kept is not used
    again while it is still in the processor's caches: 3 µs a request."""
    kept: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 1000
    """Of those that failed, were slow or were sampled, so many are remembered beyond that."""
    slow: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 1.0
    """Seconds from which a request is slow, and kept."""
    ratio: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.01
    """Part of the requests without a caller's decision that is sampled."""
    parent: bool = True
    """Whether a caller's decision, in `traceparent`, is followed. False: a trace is continued, and the ratio decides."""
    otlp: Annotated[str, msgspec.Meta(pattern=r"^(https?://[^\s]+)?$")] = ""
    """Where sampled traces go: a collector's URL for OTLP over HTTP, such as "http://127.0.0.1:4318/v1/traces". Empty:
    nowhere."""
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    """Headers that the collector asks for, such as an API key."""
    timeout: Annotated[float, msgspec.Meta(gt=0, le=60)] = 10.0
    """Seconds that the collector has to take a batch."""
    queue: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 2048
    """Traces that wait for the collector at most; more are dropped, and counted."""

    def __repr__(self) -> str:
        return f"TraceSettings(otlp={self.otlp!r}, ratio={self.ratio}, headers={sorted(self.headers)})"


UNTRACED: Final = TraceSettings(recent=0)
"""Nothing is recorded."""


class Trace(msgspec.Struct, gc=False):
    """One request in this process. Recorded by whoever serves it, in one thread."""

    request_id: str
    tracer: Tracer
    caller: str = ""
    """`traceparent` of whoever caused it, "" where nobody did; well-formed."""
    state: str = ""
    """`tracestate` that came with it."""
    causes: tuple[tuple[str, str], ...] = ()
    """Requests that it goes back to where they are several: request id and `traceparent` of each."""
    why: str = ""
    """Reason of the refusal that it ended in."""
    let_in: float = 0.0
    """When it had passed limits and authentication at the gateway; 0 where it did not."""
    called: bool = True
    """Whether a method was called; what the gateway refuses by itself is remembered elsewhere."""
    last: int = 1
    """Number of the last span that was begun; the first two need not ask."""
    sampled: bool | None = None
    """None until somebody asks."""
    base: int = 0
    """Id of span 0, others follow; 0 until it is asked for."""
    id: str = ""
    """32 hexadecimal digits; "" until it is asked for."""
    spans: list[Any] = msgspec.field(default_factory=list)
    """Tuples as of `Span`, in the order of their ends."""

    @property
    def lost(self) -> int:
        """Spans that were not kept."""
        return max(0, self.last + 1 - LONGEST)

    def begin(self) -> int:
        """The number of a new span."""
        self.last = last = self.last + 1
        return last

    def end(
        self, number: int, parent: int, kind: str, name: str, started: float, ended: float, outcome: str, detail: str
    ) -> None:
        """A span has ended; see `Span`."""
        if number < LONGEST:
            self.spans.append((number, parent, kind, name, started, ended, outcome, detail))

    def add(self, parent: int, kind: str, name: str, started: float, ended: float, outcome: str, detail: str) -> None:
        """A span that nothing is in: begun, and ended; see `Span`."""
        self.last = number = self.last + 1
        if number < LONGEST:
            self.spans.append((number, parent, kind, name, started, ended, outcome, detail))

    def identify(self) -> None:
        """Makes up its ids, and decides whether it is sampled, unless that was done."""
        if self.base:
            return
        self.base = getrandbits(63) | 1
        found = TRACEPARENT.fullmatch(self.caller) if self.caller else None
        if found is None:
            self.id = f"{getrandbits(128) or 1:032x}"
        else:
            self.id = found[1]
        if self.sampled is None:
            self.sampled = self.tracer.decide(self.caller)

    def span_id(self, number: int) -> str:
        """16 hexadecimal digits."""
        self.identify()
        return f"{(self.base + number) & 0xFFFF_FFFF_FFFF_FFFF:016x}"

    def traceparent(self, number: int) -> str:
        """What says that a span caused whatever it is sent to."""
        self.identify()
        flags = "01" if self.sampled else "00"
        return f"00-{self.id}-{(self.base + number) & 0xFFFF_FFFF_FFFF_FFFF:016x}-{flags}"


class Tracer:
    """Of one process. `settings.recent` 0: nobody makes traces (`Tracer.on`)."""

    def __init__(self, settings: TraceSettings | None = None, export: Callable[[Trace], None] | None = None) -> None:
        self.export = export
        """Gets sampled traces once they have ended; None where there is no collector."""
        self.running: list[Callable[[], Iterable[Trace]]] = []
        """Each says which traces have not ended yet."""
        self._recent: deque[Trace] = deque()
        self._refused: deque[Trace] = deque()
        self._kept: deque[Trace] = deque()
        self._room, self._since = 0, 0.0
        """How many more are remembered of the second that began then."""
        self.configure(settings or TraceSettings())

    def configure(self, settings: TraceSettings) -> None:
        """Works by other settings from now on; what is remembered stays, as far as there is room for it."""
        self.settings = settings
        self.on = settings.recent > 0
        self._ratio, self._slow, self._follow = settings.ratio, settings.slow, settings.parent
        self._rate = self._room = settings.rate
        self._recent = deque(self._recent, settings.recent)
        self._remember = self._recent.append
        self._refused = deque(self._refused, settings.recent // 5)
        self._kept = deque(self._kept, settings.kept)

    def decide(self, caller: str) -> bool:
        """Whether a trace is sampled, before anything is known of it."""
        if caller and self._follow:
            return bool(int(caller[-2:], 16) & SAMPLED)
        return random() < self._ratio

    def end(self, trace: Trace, seconds: float, failed: bool) -> None:
        """A trace has ended in this process. `failed`: by a fault of ours, not of whoever asked."""
        if not trace.called:
            self._refused.append(trace)
        elif self._room:
            self._room -= 1
            self._remember(trace)
        elif (spans := trace.spans) and spans[-1][5] - self._since >= 1.0:
            self._room, self._since = self._rate, spans[-1][5]
        sampled = trace.sampled
        if sampled is None:  # said again: a call of `decide` for every request is 0.1 µs
            sampled = self.decide(trace.caller) if trace.caller else random() < self._ratio
        if sampled or failed or seconds >= self._slow:
            trace.sampled = sampled
            self._kept.append(trace)
            if self.export is not None:
                self.export(trace)

    def traces(self) -> Iterator[Trace]:
        """All that are remembered or have not ended, each once, in no order."""
        seen: set[int] = set()
        for trace in (
            *self._recent,
            *self._refused,
            *self._kept,
            *(each for running in self.running for each in running()),
        ):
            if id(trace) not in seen:
                seen.add(id(trace))
                yield trace

    def find(self, name: str) -> list[Trace]:
        """Those of a request id, or of a trace id."""
        return [
            trace
            for trace in self.traces()
            if name in (trace.request_id, trace.id)
            or any(name == cause or name in told for cause, told in trace.causes)
        ]
