"""Metrics come out in Prometheus' text format, under the names they were declared with."""

import json
from collections.abc import Callable, Iterator

import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families

from acme.context import ANONYMOUS, CALL, Call
from acme.telemetry import Metrics, configure_logs, logger


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


@pytest.fixture
def configure() -> Iterator[Callable[[], None]]:
    """Called in the test itself: its stderr is not that of its fixtures."""
    before = structlog.get_config()
    yield lambda: configure_logs(json=True)
    structlog.configure(**before)


def test_a_line_written_while_a_call_is_served_names_its_request(
    configure: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    configure()
    token = CALL.set(Call("a.B/C", ANONYMOUS, "req_1", 0.0))
    try:
        logger("test").info("inside")
    finally:
        CALL.reset(token)
    logger("test").info("outside")
    inside, outside = map(json.loads, capsys.readouterr().err.splitlines())
    assert inside["request_id"] == "req_1"
    assert "request_id" not in outside


def test_a_traceback_in_a_log_shows_no_values(
    configure: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    configure()
    secret = "pass" + "word"
    try:
        raise RuntimeError(len(secret))
    except RuntimeError as error:
        logger("test").error("failed", exc_info=error)
    line = capsys.readouterr().err
    assert "RuntimeError: 8" in line
    assert secret not in line


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
