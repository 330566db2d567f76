"""Refresh tokens: their shape, who can make them, and what presenting one means."""

from __future__ import annotations

import base64
import re
from datetime import timedelta

import pytest
from acme_users.refresh import GRACE, RefreshToken, RefreshTokens, Use, judge
from hypothesis import given
from hypothesis import strategies as st

from acme import new_id
from acme.drivers.clock import SystemClock
from acme.drivers.vault import Vault

SESSION = new_id("ses", SystemClock())
SECRET = bytes(range(32))
TOKENS = RefreshTokens(Vault(bytes(32)))


def test_a_token_says_which_session_and_generation_it_is_of() -> None:
    token = RefreshToken.parse(TOKENS.issue(SESSION, SECRET, 7))
    assert (token.session_id, token.generation) == (SESSION, 7)
    assert TOKENS.genuine(token, SECRET)


def test_a_token_is_recognisable_and_needs_no_escaping() -> None:
    assert re.fullmatch(r"acr_[A-Za-z0-9_-]{84}", TOKENS.issue(SESSION, SECRET, 1))


def test_the_successor_is_derived_and_the_same_each_time() -> None:
    assert TOKENS.issue(SESSION, SECRET, 2) == TOKENS.issue(SESSION, SECRET, 2)
    assert TOKENS.issue(SESSION, SECRET, 2) != TOKENS.issue(SESSION, SECRET, 3)


@pytest.mark.parametrize("change", ["generation", "session", "secret", "master secret"])
def test_a_token_is_genuine_only_where_everything_is_the_same(change: str) -> None:
    token = RefreshToken.parse(TOKENS.issue(SESSION, SECRET, 1))
    secret, tokens = SECRET, TOKENS
    match change:
        case "generation":
            token = RefreshToken(SESSION, 2, token.mac)
        case "session":
            token = RefreshToken(new_id("ses", SystemClock()), 1, token.mac)
        case "secret":
            secret = bytes(32)
        case "master secret":
            tokens = RefreshTokens(Vault(bytes(31) + b"\x01"))
    assert not tokens.genuine(token, secret)


@given(st.integers(0, 87), st.sampled_from("AZaz09-_+/=. \n\u00e9"))
def test_a_token_has_exactly_one_spelling(place: int, character: str) -> None:
    text = TOKENS.issue(SESSION, SECRET, 1)
    changed = text[:place] + character + text[place + 1 :]
    if changed == text:
        return
    try:
        token = RefreshToken.parse(changed)
    except ValueError:
        return
    assert not TOKENS.genuine(token, SECRET)


@given(
    st.text(max_size=120)
    | st.binary(min_size=60, max_size=66).map(lambda raw: "acr_" + base64.urlsafe_b64encode(raw).decode())
)
def test_any_text_is_refused_or_names_something_that_looks_like_a_session(text: str) -> None:
    try:
        token = RefreshToken.parse(text)
    except ValueError:
        return
    assert re.fullmatch(r"ses_[0-9A-Za-z]{26}", token.session_id)
    assert str(token) == text


@pytest.mark.parametrize(
    ("presented", "current", "since", "use"),
    [
        (1, 1, timedelta(days=20), Use.ROTATE),
        (5, 5, timedelta(0), Use.ROTATE),
        (4, 5, timedelta(0), Use.REPEAT),
        (4, 5, GRACE, Use.REPEAT),
        (4, 5, GRACE + timedelta(microseconds=1), Use.REUSED),
        (3, 5, timedelta(0), Use.REUSED),
        (1, 5, timedelta(0), Use.REUSED),
        (6, 5, timedelta(0), Use.REUSED),
    ],
)
def test_what_presenting_a_token_means(presented: int, current: int, since: timedelta, use: Use) -> None:
    assert judge(presented, current, since) is use


def test_the_grace_is_ten_seconds() -> None:
    assert timedelta(seconds=10) == GRACE
