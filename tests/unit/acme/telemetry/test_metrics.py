"""Metrics come out in Prometheus' text format, under the names they were declared with."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.core import (
    CollectorRegistry,
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from acme.telemetry import SECONDS, Metrics


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


def test_a_counter_counts_by_label() -> None:
    metrics = Metrics()
    family = metrics.counter("acme_things_total", "Things.", ("kind",))
    family.bind("a").add()
    family.bind("a").add(2)
    family.bind("b").add()
    seen = samples(metrics)
    assert seen["acme_things_total", (("kind", "a"),)] == 3
    assert seen["acme_things_total", (("kind", "b"),)] == 1


def test_a_histogram_puts_a_value_on_a_bound_into_the_bucket_of_that_bound() -> None:
    metrics = Metrics()
    series = metrics.histogram("acme_seconds", "Seconds.", (), (0.1, 1.0)).bind()
    for value in (0.1, 0.5, 5.0):
        series.observe(value)
    seen = samples(metrics)
    assert seen["acme_seconds_bucket", (("le", "0.1"),)] == 1
    assert seen["acme_seconds_bucket", (("le", "1.0"),)] == 2
    assert seen["acme_seconds_bucket", (("le", "+Inf"),)] == 3
    assert seen["acme_seconds_count", ()] == 3
    assert seen["acme_seconds_sum", ()] == pytest.approx(5.6)


def test_a_gauge_is_read_at_each_scrape() -> None:
    metrics = Metrics()
    level: dict[tuple[str, ...], float] = {("db",): 1.0}
    metrics.gauge("acme_level", "Level.", ("pool",), lambda: level)
    assert samples(metrics)["acme_level", (("pool", "db"),)] == 1
    level["db",] = 2
    assert samples(metrics)["acme_level", (("pool", "db"),)] == 2


def test_a_name_declared_twice_is_one_family_and_of_one_kind() -> None:
    metrics = Metrics()
    assert metrics.counter("acme_x_total", "X.") is metrics.counter("acme_x_total", "X.")
    with pytest.raises(ValueError, match="another kind"):
        metrics.histogram("acme_x_total", "X.")


def test_a_gauge_of_several_has_the_series_of_those_that_are_there() -> None:
    metrics = Metrics()
    pools = metrics.readers("pools", "Pools.", ("name",))
    assert metrics.readers("pools", "Pools.", ("name",)) is pools
    leave = pools.add(lambda: {("a",): 1.0})
    pools.add(lambda: {("b",): 2.0})
    shown = metrics.render().decode()
    assert 'pools{name="a"} 1.0' in shown
    assert 'pools{name="b"} 2.0' in shown
    leave()
    assert 'pools{name="a"}' not in metrics.render().decode()
    assert 'pools{name="b"} 2.0' in metrics.render().decode()


def test_a_counter_that_somebody_else_keeps_is_shown_as_a_counter() -> None:
    metrics = Metrics()
    metrics.counted("seen_total", "Seen.", ("kind",), lambda: {("x",): 3.0})
    shown = metrics.render().decode()
    assert "# TYPE seen_total counter" in shown
    assert 'seen_total{kind="x"} 3.0' in shown


def test_a_histogram_without_an_observation_is_left_out_until_it_has_one() -> None:
    metrics = Metrics()
    family = metrics.histogram("acme_seconds", "Seconds.", ("kind",), (1.0,))
    family.bind("idle")
    family.bind("busy").observe(0.0)
    shown = metrics.render().decode()
    assert 'kind="idle"' not in shown
    assert 'acme_seconds_count{kind="busy"} 1.0' in shown
    family.bind("idle").observe(3.0)
    assert samples(metrics)["acme_seconds_bucket", (("kind", "idle"), ("le", "+Inf"))] == 1


def test_a_family_of_histograms_without_observations_is_still_declared() -> None:
    metrics = Metrics()
    metrics.histogram("acme_seconds", "Seconds.", ("kind",)).bind("idle")
    assert metrics.render() == b"# HELP acme_seconds Seconds.\n# TYPE acme_seconds histogram\n"


def test_a_series_with_too_few_labels_is_refused_when_it_is_bound() -> None:
    with pytest.raises(ValueError, match="zip"):
        Metrics().counter("acme_x_total", "X.", ("a", "b")).bind("one")


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.floats(allow_nan=False, min_value=0)


class Theirs:
    """The same, as prometheus_client collects it."""

    def __init__(self, *families: Metric) -> None:
        self._families = families

    def collect(self) -> tuple[Metric, ...]:
        return self._families


@given(
    TEXTS,
    st.dictionaries(st.tuples(TEXTS, TEXTS), VALUES, max_size=3),
    st.lists(st.floats(0, 100), min_size=1, max_size=5),
)
def test_what_is_shown_is_what_prometheus_client_reads_of_its_own(
    told: str, series: dict[tuple[str, str], float], observed: list[float]
) -> None:
    labels = ("zone", "kind")
    metrics = Metrics()
    counter, histogram = metrics.counter("c_total", told, labels), metrics.histogram("h", told, labels)
    metrics.gauge("g", told, labels, lambda: {(*key,): value for key, value in series.items()})
    theirs = (
        CounterMetricFamily("c", told, labels=labels),
        HistogramMetricFamily("h", told, labels=labels),
        GaugeMetricFamily("g", told, labels=labels),
    )
    for values, value in series.items():
        counter.bind(*values).add(value)
        for each in observed:
            histogram.bind(*values).observe(each)
        below = [(repr(bound), float(sum(each <= bound for each in observed))) for bound in SECONDS]
        theirs[0].add_metric(values, value)
        theirs[1].add_metric(values, [*below, ("+Inf", float(len(observed)))], sum(observed))
        theirs[2].add_metric(values, value)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Theirs(*theirs))
    ours = list(text_string_to_metric_families(metrics.render().decode()))
    assert ours == list(text_string_to_metric_families(generate_latest(registry).decode()))


def test_a_busy_gateway_is_shown_within_few_milliseconds() -> None:
    metrics = Metrics()
    calls = metrics.histogram("rpc_server_call_duration_seconds", "Calls.", ("system", "method", "status"))
    for number in range(3000):
        series = calls.bind("local", f"acme.some_service.v1.Service/Method{number}", "OK")
        if number < 500:
            series.observe(0.02)
    metrics.render()
    least = float("inf")
    for _ in range(20):
        started = time.process_time()
        shown = metrics.render()
        least = min(least, time.process_time() - started)
    assert shown.count(b"\n") == 2 + 500 * 19
    assert least < 0.02  # 4 ms where this was written; prometheus_client takes 150
