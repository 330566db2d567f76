"""A page token opens for the caller, the method and the query it was made for, and for nothing else."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acme.context import CALL, Call, Kind, Principal
from acme.drivers.vault import Vault
from acme.errors import Malformed
from acme.pages import Pages, page_size

PAGES = Pages(Vault(b"k" * 32))


@contextmanager
def calling(user: str = "usr_ada", method: str = "a.B/List") -> Iterator[None]:
    token = CALL.set(Call(method, Principal(Kind.USER, user), "request", 0.0))
    try:
        yield
    finally:
        CALL.reset(token)


def test_the_empty_token_is_the_first_page() -> None:
    with calling():
        assert PAGES.open("") is None


@given(position=st.text() | st.lists(st.integers(-(2**53), 2**53) | st.text()))
def test_a_position_comes_back_as_it_was(position: object) -> None:
    with calling():
        assert PAGES.open(PAGES.seal(position, "q"), "q") == position


@pytest.mark.parametrize(
    ("user", "method", "query"),
    [("usr_bob", "a.B/List", "q"), ("usr_ada", "a.B/Other", "q"), ("usr_ada", "a.B/List", "r")],
)
def test_another_caller_method_or_query_cannot_use_it(user: str, method: str, query: str) -> None:
    with calling():
        token = PAGES.seal("prj_1", "q")
    with calling(user, method), pytest.raises(Malformed) as refused:
        PAGES.open(token, query)
    assert refused.value.reason == "invalid_page_token"


@given(st.text(min_size=1))
def test_text_that_is_no_token_is_refused(text: str) -> None:
    with calling(), pytest.raises(Malformed):
        PAGES.open(text)


@given(position=st.integers(0, 40), letter=st.sampled_from("AZaz09-_"))
def test_an_altered_token_is_refused(position: int, letter: str) -> None:
    with calling():
        token = PAGES.seal("prj_1234567")
        altered = token[:position] + letter + token[position + 1 :]
        if altered != token:
            with pytest.raises(Malformed):
                PAGES.open(altered)


@pytest.mark.parametrize(("asked", "given"), [(0, 50), (1, 1), (1000, 1000), (1001, 1000), (2**31 - 1, 1000)])
def test_page_sizes_are_coerced_as_documented(asked: int, given: int) -> None:
    assert page_size(asked) == given
