"""The numbers behind the pauses, and what counts as one client."""

from __future__ import annotations

import pytest
from acme_users.throttles import DELAYS, FREE, LONGEST, MOST, client_network, typed


def test_pauses_begin_after_the_fifth_failure_double_and_end_at_fifteen_minutes() -> None:
    assert DELAYS[: FREE + 11] == (0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900)
    assert set(DELAYS[FREE + 10 :]) == {LONGEST}


def test_there_are_a_hundred_attempts_and_they_take_most_of_a_day() -> None:
    assert len(DELAYS) == MOST == 100
    assert sum(DELAYS) > 20 * 3600


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("192.0.2.1", "::ffff:192.0.2.1"),
        ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff"),
        ("fe80::1%eth0", "fe80::2%eth1"),
    ],
)
def test_one_client_has_one_network(one: str, other: str) -> None:
    assert client_network(one) == client_network(other) is not None


@pytest.mark.parametrize(("one", "other"), [("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8:0:1::1")])
def test_two_clients_have_two(one: str, other: str) -> None:
    assert client_network(one) != client_network(other)


@pytest.mark.parametrize("unknown", ["", "unknown", "unix:"])
def test_an_address_that_is_not_known_is_nobodys(unknown: str) -> None:
    assert client_network(unknown) is None


def test_spellings_of_an_address_count_together() -> None:
    assert typed("Ann@Example.com") == typed("ann@EXAMPLE.COM") == "ann@example.com"


@pytest.mark.parametrize("text", ["", "nobody", "nul\x00@example.com", "ann\uff20example.com ", "a" * 320])
def test_what_is_no_address_counts_by_itself_and_never_as_one(text: str) -> None:
    assert typed(text).startswith("not an address: ")
    assert "\x00" not in typed(text)
    assert typed(text) == typed(text.upper())
