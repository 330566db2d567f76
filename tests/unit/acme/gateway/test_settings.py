"""What an operator may set."""

from __future__ import annotations

import msgspec
import pytest

from acme.gateway.settings import GatewaySettings


def test_the_defaults_are_what_the_documents_say() -> None:
    settings = GatewaySettings()
    assert (settings.max_body, settings.timeout, settings.max_timeout) == (1024 * 1024, 10.0, 60.0)
    assert (settings.body_timeout, settings.write_timeout, settings.keepalive) == (10.0, 30.0, 75.0)
    assert settings.access_log


@pytest.mark.parametrize(
    "wrong", [{"max_body": 10}, {"max_body": 2**30}, {"timeout": 0}, {"max_timeout": -1}, {"body_timout": 1}]
)
def test_a_limit_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, GatewaySettings)
