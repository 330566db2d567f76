"""E-mail addresses: what counts as the same, and what does not."""

from __future__ import annotations

import pytest
from acme_users.addresses import Address
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ann@example.com", "Ann@EXAMPLE.com"),
        ("ann@straße.de", "ann@xn--strae-oqa.de"),
        ("ANN@STRASSE.de", "ann@strasse.de"),
        ("zo\u00eb@example.com", "zoe\u0308@example.com"),
        ("ZO\u00cb@example.com", "zoe\u0308@example.com"),
    ],
)
def test_spellings_of_one_address_have_one_key(one: str, other: str) -> None:
    assert Address.parse(one).key == Address.parse(other).key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ann@straße.de", "ann@strasse.de"),
        ("straße@example.com", "strasse@example.com"),
        ("ann+tag@example.com", "ann@example.com"),
        ("a.nn@example.com", "ann@example.com"),
        ("ann@example.com", "ann@example.org"),
        ("\u0430nn@example.com", "ann@example.com"),  # a Cyrillic letter
    ],
)
def test_different_addresses_have_different_keys(one: str, other: str) -> None:
    assert Address.parse(one).key != Address.parse(other).key


def test_mail_goes_to_the_address_as_it_was_typed() -> None:
    assert Address.parse("Ann.B@EXAMPLE.com").text == "Ann.B@example.com"


@pytest.mark.parametrize(
    "text", ["", "ann", "@example.com", "ann@", "ann@exa mple.com", "a\x00b@example.com", "a\nb@x.org"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an e-mail address"):
        Address.parse(text)


@given(st.text(max_size=80) | st.emails())
def test_any_text_is_refused_or_has_a_key_that_is_its_own_key(text: str) -> None:
    try:
        address = Address.parse(text)
    except ValueError:
        return
    assert Address.parse(address.text).key == address.key
