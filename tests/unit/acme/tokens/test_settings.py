"""What verifiers agree on."""

from __future__ import annotations

import msgspec
import pytest

from acme.tokens.settings import FRESH, POLL_EVERY, POLL_TIMEOUT, TokenSettings


def test_one_poll_may_fail_before_nothing_is_believed() -> None:
    assert 2 * (POLL_EVERY + POLL_TIMEOUT) < FRESH


def test_a_setting_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"cash": 1}, TokenSettings)
