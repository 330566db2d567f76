"""Series are written as Prometheus reads them."""

import pytest

from acme.telemetry.exposition import buckets, comments, labelled, number


def test_labels_are_in_the_order_of_their_names_and_escaped() -> None:
    assert labelled("x", ("b", "a"), ('say "no"', "one\\two\nthree")) == r'x{a="one\\two\nthree",b="say \"no\""} '


def test_a_series_without_labels_has_no_braces() -> None:
    assert labelled("x", (), ()) == "x "


def test_a_series_with_too_many_values_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        labelled("x", ("a",), ("1", "2"))


def test_a_help_text_keeps_its_quotes_and_stays_in_its_line() -> None:
    assert comments("x", "gauge", 'a "b"\nc') == '# HELP x a "b"\\nc\n# TYPE x gauge\n'


def test_a_histogram_is_a_format_for_its_numbers_whatever_its_labels_say() -> None:
    shown = buckets("h", ("of",), ("100 %d",), (0.5,)) % (1, 2, 2, "3.5")
    assert shown.splitlines() == [
        'h_bucket{le="0.5",of="100 %d"} 1.0',
        'h_bucket{le="+Inf",of="100 %d"} 2.0',
        'h_count{of="100 %d"} 2.0',
        'h_sum{of="100 %d"} 3.5',
    ]


@pytest.mark.parametrize(("value", "shown"), [(3, "3.0"), (1e22, "1e+22"), (float("inf"), "inf"), (0.1, "0.1")])
def test_a_number_is_written_so_that_go_reads_it(value: float, shown: str) -> None:
    assert number(value) == shown
