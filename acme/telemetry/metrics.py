"""Families of series, and the registry of a Node.

What a scrape costs is paid by the event loop, between requests: a series keeps the text that never changes of it, so that
one of a histogram is a single formatting of its numbers. A histogram without an observation is left out.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import Final

from acme.telemetry.exposition import buckets, comments, labelled, number

SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Bounds of a duration histogram, in seconds (OpenTelemetry's advice for HTTP and RPC, and two finer ones)."""


class Counter:
    """One series of a counter family."""

    __slots__ = ("text", "value")

    def __init__(self, text: str = "") -> None:
        self.text = text
        """Its name and labels, as they are shown."""
        self.value = 0.0

    def add(self, amount: float = 1.0) -> None:
        self.value += amount


class Histogram:
    """One series of a histogram family."""

    __slots__ = ("bounds", "counts", "text", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        self.text = ""
        """How it is shown, but for its numbers; written when it is first."""

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class CounterFamily:
    """Counters of one name, told apart by label values."""

    def __init__(self, name: str, help_text: str, labels: tuple[str, ...]) -> None:
        self.name, self.help_text, self.labels = name, help_text, labels
        self.series: dict[tuple[str, ...], Counter] = {}
        self._shown = f"{name.removesuffix('_total')}_total"

    def bind(self, *values: str) -> Counter:
        """The series with these label values, in the order of the declaration."""
        series = self.series.get(values)
        if series is None:
            series = self.series[values] = Counter(labelled(self._shown, self.labels, values))
        return series

    def lines(self) -> Iterator[str]:
        """As they are shown."""
        yield comments(self._shown, "counter", self.help_text)
        for series in self.series.values():
            yield f"{series.text}{number(series.value)}\n"


class HistogramFamily:
    """Histograms of one name, told apart by label values."""

    def __init__(self, name: str, help_text: str, labels: tuple[str, ...], bounds: tuple[float, ...]) -> None:
        self.name, self.help_text, self.labels, self.bounds = name, help_text, labels, bounds
        self.series: dict[tuple[str, ...], Histogram] = {}

    def bind(self, *values: str) -> Histogram:
        """The series with these label values, in the order of the declaration."""
        series = self.series.get(values)
        if series is None:
            series = self.series[values] = Histogram(self.bounds)
        return series

    def lines(self) -> Iterator[str]:
        """As those are shown that have an observation."""
        yield comments(self.name, "histogram", self.help_text)
        for values, series in self.series.items():
            *below, count = accumulate(series.counts)
            if not count:
                continue
            if not series.text:
                series.text = buckets(self.name, self.labels, values, self.bounds)
            yield series.text % (*below, count, count, number(series.total))


class GaugeFamily:
    """A gauge read when it is asked for: `read` returns label values → value."""

    def __init__(
        self, name: str, help_text: str, labels: tuple[str, ...], read: Callable[[], dict[tuple[str, ...], float]]
    ) -> None:
        self.name, self.help_text, self.labels, self.read = name, help_text, labels, read

    def lines(self) -> Iterator[str]:
        """As they are shown."""
        return self._lines(self.name, "gauge")

    def _lines(self, name: str, kind: str) -> Iterator[str]:
        yield comments(name, kind, self.help_text)
        for values, value in self.read().items():
            yield f"{labelled(name, self.labels, values)}{number(value)}\n"


class CountedFamily(GaugeFamily):
    """A counter that somebody else keeps, read when it is asked for; its name ends in `_total`."""

    def lines(self) -> Iterator[str]:
        """As they are shown."""
        return self._lines(f"{self.name.removesuffix('_total')}_total", "counter")


class Readers:
    """What a gauge is put together from: each gives some of its series."""

    def __init__(self) -> None:
        self._each: list[Callable[[], dict[tuple[str, ...], float]]] = []

    def add(self, read: Callable[[], dict[tuple[str, ...], float]]) -> Callable[[], None]:
        """Series from now on, until what is returned is called."""
        self._each.append(read)
        return lambda: self._each.remove(read)

    def read(self) -> dict[tuple[str, ...], float]:
        """All series."""
        return {labels: value for read in self._each for labels, value in read().items()}


class Metrics:
    """The metrics of one Node."""

    CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self) -> None:
        self._families: dict[str, CounterFamily | HistogramFamily | GaugeFamily] = {}
        self._readers: dict[str, Readers] = {}

    def counter(self, name: str, help_text: str, labels: tuple[str, ...] = ()) -> CounterFamily:
        """Declares a counter, or returns the one declared before. The name ends in `_total`."""
        family = self._families.setdefault(name, CounterFamily(name, help_text, labels))
        if not isinstance(family, CounterFamily):
            raise ValueError(f"metric {name} is declared as another kind")
        return family

    def histogram(
        self, name: str, help_text: str, labels: tuple[str, ...] = (), bounds: tuple[float, ...] = SECONDS
    ) -> HistogramFamily:
        """Declares a histogram, or returns the one declared before."""
        family = self._families.setdefault(name, HistogramFamily(name, help_text, labels, bounds))
        if not isinstance(family, HistogramFamily):
            raise ValueError(f"metric {name} is declared as another kind")
        return family

    def gauge(
        self, name: str, help_text: str, labels: tuple[str, ...], read: Callable[[], dict[tuple[str, ...], float]]
    ) -> None:
        """Declares a gauge that is read at each scrape; a second declaration replaces the first."""
        self._families[name] = GaugeFamily(name, help_text, labels, read)

    def counted(
        self, name: str, help_text: str, labels: tuple[str, ...], read: Callable[[], dict[tuple[str, ...], float]]
    ) -> None:
        """Declares a counter that is read at each scrape; otherwise as `gauge`."""
        self._families[name] = CountedFamily(name, help_text, labels, read)

    def readers(self, name: str, help_text: str, labels: tuple[str, ...]) -> Readers:
        """Declares a gauge that several have series of, or returns what was declared before."""
        readers = self._readers.get(name)
        if readers is None:
            readers = self._readers[name] = Readers()
            self.gauge(name, help_text, labels, readers.read)
        return readers

    def render(self) -> bytes:
        """All series in Prometheus' text format 0.0.4."""
        return "".join([line for family in self._families.values() for line in family.lines()]).encode()
