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
    assert (settings.proxies, settings.cors.origins, settings.cors.max_age) == ((), (), 600)


def test_by_default_passwords_are_guarded_and_nobody_else_is_in_the_way() -> None:
    limits = GatewaySettings().limits
    guarded, other = limits.credentials, limits.default
    assert (guarded.address_rate, guarded.address_burst) == (guarded.rate, guarded.burst) == (10.0, 20)
    assert (other.rate, other.burst, other.address_rate, other.address_burst) == (3000.0, 500, 6000.0, 1000)
    assert limits.keys == 100_000


@pytest.mark.parametrize(
    "wrong", [{"max_body": 10}, {"max_body": 2**30}, {"timeout": 0}, {"max_timeout": -1}, {"body_timout": 1}]
)
def test_a_limit_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, GatewaySettings)


@pytest.mark.parametrize(
    "wrong",
    [
        {"proxies": ["10.0.0.1/8"]},
        {"proxies": ["balancer"]},
        {"limits": {"default": {"rate": 0}}},
        {"limits": {"credentials": {"burst": 0}}},
        {"limits": {"plans": {"gold": {"default": {"rate": 1}}}}},
        {"cors": {"origins": ["https://app.example/"]}},
        {"cors": {"origins": ["https://App.example"]}},
        {"cors": {"origins": ["app.example"]}},
        {"cors": {"origins": ["null"]}},
        {"cors": {"origins": ["https://*.example"]}},
        {"cors": {"origins": ["*", "https://app.example"]}},
        {"cors": {"origins": ["*"], "credentials": True}},
    ],
    ids=str,
)
def test_what_would_not_mean_what_it_says_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, GatewaySettings)


def test_origins_may_have_a_port_and_be_an_address() -> None:
    origins = ["https://app.example", "http://localhost:3000", "http://[::1]:3000", "http://127.0.0.1"]
    assert list(msgspec.convert({"cors": {"origins": origins}}, GatewaySettings).cors.origins) == origins
