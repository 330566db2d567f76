"""Queries are words: blanks do not count, and letters and digits do."""

from __future__ import annotations

import pytest
from acme_projects.listing import SHORTEST, _query
from hypothesis import given
from hypothesis import strategies as st

from acme.errors import Invalid


@pytest.mark.parametrize(("text", "query"), [("", ""), ("  a   bc ", "a bc"), ("C++ 17", "C++ 17"), ("äöü", "äöü")])
def test_blanks_are_made_one(text: str, query: str) -> None:
    assert _query(text) == query


@given(st.text(max_size=20))
def test_a_query_is_taken_if_it_has_letters_or_digits_enough(text: str) -> None:
    enough = sum(character.isalnum() for character in text) >= SHORTEST
    if enough or not text:
        assert _query(text).split() == text.split()
    else:
        with pytest.raises(Invalid):
            _query(text)
