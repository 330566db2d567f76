"""What an operator may say of a service."""

from __future__ import annotations

import msgspec
import pytest

from acme.gateway.service_settings import ServiceSettings
from acme.gateway.settings import GatewaySettings


def test_by_default_only_what_is_plainly_too_much_is_refused() -> None:
    said = GatewaySettings().services
    assert said == {"default": ServiceSettings()}
    assert (said["default"].concurrency, said["default"].streams) == (1000, 2000)
    assert (said["default"].failures, said["default"].pause) == (20, 1.0)


@pytest.mark.parametrize(
    "wrong",
    [{"concurrency": 0}, {"streams": 0}, {"queue": -1}, {"wait": 0}, {"failures": -1}, {"pause": 0}, {"concurency": 1}],
    ids=str,
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"services": {"acme.users.v1.Users": wrong}}, GatewaySettings)


def test_a_service_may_have_settings_of_its_own() -> None:
    said = msgspec.convert({"services": {"acme.users.v1.Users": {"concurrency": 5, "failures": 0}}}, GatewaySettings)
    assert said.services["acme.users.v1.Users"] == ServiceSettings(concurrency=5, failures=0)
