"""Prometheus' text format 0.0.4: how a series is written.

prometheus_client's own rendering takes 10 to 20 µs a line: it makes an object of each, sorts its labels, escapes them. That
was 25 to 60 ms of the event loop for a gateway at rest. Here what never changes of a series is written once. As with
prometheus_client, labels are in the order of their names; times of creation (`_created`) and exemplars, which are
OpenMetrics', are not told.
"""

from __future__ import annotations

from collections.abc import Iterable

_LABEL = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_BOUND = "\udfff"
"""Stands for a bound: no text has it, since it cannot be encoded."""
_HELP = str.maketrans({"\\": r"\\", "\n": r"\n"})


def comments(name: str, kind: str, help_text: str) -> str:
    """What stands above the series of a family."""
    return f"# HELP {name} {help_text.translate(_HELP)}\n# TYPE {name} {kind}\n"


def labelled(name: str, labels: Iterable[str], values: Iterable[str]) -> str:
    """A series up to its value, and the blank before that.

    Raises:
        ValueError: there are not as many values as labels.
    """
    told = ",".join(f'{label}="{value.translate(_LABEL)}"' for label, value in _sorted(labels, values))
    return f"{name}{{{told}}} " if told else f"{name} "


def buckets(name: str, labels: tuple[str, ...], values: tuple[str, ...], bounds: Iterable[float]) -> str:
    """A histogram as a format (of `%`) for: the observations up to each bound, and in all; in all, again; their sum."""
    before, after = labelled(f"{name}_bucket", (*labels, "le"), (*values, _BOUND)).replace("%", "%%").split(_BOUND)
    counts = "".join([f"{before}{bound}{after}%d.0\n" for bound in (*map(repr, bounds), "+Inf")])
    told = labelled("", labels, values).replace("%", "%%")
    return f"{counts}{name}_count{told}%d.0\n{name}_sum{told}%s\n"


def number(value: float) -> str:
    """A value, as Go's ParseFloat takes it: Python's "inf" and "nan" among them."""
    return repr(float(value))


def _sorted(labels: Iterable[str], values: Iterable[str]) -> list[tuple[str, str]]:
    return sorted(zip(labels, values, strict=True))
