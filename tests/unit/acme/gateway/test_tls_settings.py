"""`[gateway.tls]` and `[gateway.listeners]`: what goes together, and what is told where it does not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from acme.gateway.settings import GatewaySettings

PAIR = {"certificate": "a.pem", "key": "a.key"}
SVA = "sva_01m821mp30er1rnjnb3atkr46z"


def settings(**values: Any) -> GatewaySettings:
    return msgspec.convert(values, GatewaySettings)


def test_without_certificates_it_is_plain_http() -> None:
    assert not settings().tls.on
    assert settings(tls={"certificates": [PAIR]}).tls.on
    assert settings(tls={"local": True}).tls.on


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"tls": {"client": "optional", "certificates": [PAIR]}}, "needs an authority"),
        ({"tls": {"client": "required", "authority": "a.pem"}}, "needs certificates of our own"),
        ({"tls": {"identities": {"DNS:a": {"principal": SVA}}}}, "identities need an authority"),
        ({"tls": {"authority": "a.pem", "identities": {"a.example": {"principal": SVA}}}}, "is no name"),
        ({"tls": {"authority": "a.pem", "identities": {"CN:a": {"principal": SVA}}}}, "is no name"),
        ({"tls": {"authority": "a.pem", "identities": {"DNS:a": {"principal": "usr_1"}}}}, "regex"),
        ({"tls": {"authority": "a.pem", "identities": {"DNS:a": {"principal": SVA, "scopes": []}}}}, "length"),
        ({"tls": {"local": True, "certificates": [PAIR]}}, "leave certificates out, or local"),
        ({"tls": {"minimum": "1.1"}}, "1.1"),
        ({"listeners": {"one": {"port": 1}}}, "listeners.one: needs certificates"),
        ({"listeners": {"one": {"port": 1, "serves": "redirect"}}}, "listeners.one: needs certificates"),
        (
            {"tls": {"local": True}, "listeners": {"one": {"port": 1, "tls": False, "client": "required"}}},
            "listeners.one: client certificates need tls",
        ),
        (
            {"tls": {"local": True}, "listeners": {"one": {"port": 1, "client": "required"}}},
            "listeners.one: client = .* needs an authority",
        ),
        ({"listeners": {"one": {}}}, "port"),
    ],
)
def test_what_does_not_go_together_is_told(values: dict[str, Any], told: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=told):
        settings(**values)


def test_further_listeners_speak_https_unless_they_redirect_or_say_otherwise() -> None:
    found = settings(
        tls={"local": True, "authority": "a.pem"},
        listeners={
            "machines": {"port": 8443, "client": "required"},
            "plain": {"port": 80, "serves": "redirect"},
            "inside": {"port": 8081, "tls": False},
        },
    ).listeners
    assert {name: one.secure for name, one in found.items()} == {"machines": True, "plain": False, "inside": False}


def test_a_plain_listener_needs_no_certificates() -> None:
    assert not settings(listeners={"inside": {"port": 8081, "tls": False}}).listeners["inside"].secure
