"""Tokens in mails, as they are made."""

from __future__ import annotations

import hashlib
import re
from datetime import timedelta

import pytest
from acme_users.mail_tokens import LIVES, digest, new_token, void
from acme_users.store import Purpose

from acme import Invalid


def test_a_token_has_256_random_bits_after_its_prefix() -> None:
    tokens = {new_token("acm_") for _ in range(1000)}
    assert len(tokens) == 1000
    assert all(re.fullmatch(r"acm_[A-Za-z0-9_-]{43}", token) for token in tokens)


def test_what_is_kept_is_a_digest() -> None:
    assert digest("acm_x") == hashlib.sha256(b"acm_x").digest()


def test_every_purpose_has_a_life_and_the_one_that_gives_most_the_shortest() -> None:
    assert set(LIVES) == set(Purpose)
    assert LIVES[Purpose.RESET_PASSWORD] == min(LIVES.values()) == timedelta(hours=1)


def test_a_token_that_is_good_for_nothing_is_refused_without_a_reason() -> None:
    with pytest.raises(Invalid) as caught:
        void()
    assert (caught.value.reason, [fault.pointer for fault in caught.value.faults]) == ("token_invalid", ["/token"])
