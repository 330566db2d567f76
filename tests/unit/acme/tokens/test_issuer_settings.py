"""What may be declared of another issuer."""

from __future__ import annotations

from typing import Any, get_args, get_type_hints

import msgspec
import pytest

from acme.contract import ROLES
from acme.tokens.issuer_settings import IssuerSettings, PrincipalSettings, check_url, host_of

LEAST = {"issuer": "https://login.example/tenant", "audience": ["acme-api"], "algorithms": ["RS256"]}


def settings(**changed: Any) -> IssuerSettings:
    return msgspec.convert({**LEAST, **changed}, IssuerSettings)


def test_metadata_lie_below_the_issuer_unless_it_is_said_where() -> None:
    assert settings().metadata_url == "https://login.example/tenant/.well-known/openid-configuration"
    slash = settings(issuer="https://login.example/")
    assert slash.metadata_url == "https://login.example/.well-known/openid-configuration"
    elsewhere = "https://login.example/.well-known/oauth-authorization-server/tenant"
    assert settings(discovery=elsewhere).metadata_url == elsewhere


def test_an_issuer_is_a_name_where_its_keys_are_declared() -> None:
    named = settings(issuer="accounts", jwks_url="https://keys.example/jwks")
    assert named.allows("https://keys.example/other")
    assert not named.allows("https://login.example/jwks")


@pytest.mark.parametrize(
    "wrong",
    [
        {"issuer": ""},
        {"issuer": "accounts"},
        {"issuer": "http://login.example"},
        {"audience": []},
        {"audience": [""]},
        {"algorithms": []},
        {"algorithms": ["none"]},
        {"algorithms": ["HS256"]},
        {"types": []},
        {"types": ["ID"]},
        {"jwks_url": "http://login.example/keys"},
        {"jwks_url": "http://localhost/keys"},
        {"jwks_url": "https://user:word@login.example/keys"},
        {"jwks_url": "https://login.example/keys#first"},
        {"jwks_url": "https://login.example:port/keys"},
        {"jwks_url": "https:///keys"},
        {"jwks_url": "file:///etc/passwd"},
        {"jwks_url": "https://keys.example/jwks", "hosts": ["login.example"]},
        {"discovery": "https://other.example/", "hosts": ["login.example"]},
        {"leeway": 301},
        {"refresh": 0.1},
        {"timeout": 0},
        {"principal": {"id": ""}},
        {"principal": {"role": "king"}},
        {"principal": {"organization": "prj_1"}},
        {"principal": {"organization_claim": "tenant", "organizations": {"a": "everybody"}}},
        {"principal": {"organization": "org_1", "organization_claim": "tenant"}},
        {"principal": {"organizations": {"a": "org_1"}}},
        {"principal": {"roles": {"a": "admin"}}},
        {"principal": {"permissions": {"a": ["projects.read"]}}},
        {"principal": {"kinds": {"a": "user"}}},
        {"principal": {"kind": "service"}},
        {"principal": {"scope_claim": "", "scopes": {"a": ["*"]}}},
        {"jwks": "https://login.example"},
    ],
    ids=str,
)
def test_what_would_be_unsafe_or_mean_nothing_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        settings(**wrong)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8080", "[::1]:8080"])
def test_only_this_machine_itself_is_asked_without_tls(host: str) -> None:
    check_url(f"http://{host}/keys")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1.example", "10.0.0.1", "[::]"])
def test_what_only_sounds_like_this_machine_is_not(host: str) -> None:
    with pytest.raises(ValueError, match="https://"):
        check_url(f"http://{host}/keys")


def test_the_usual_port_need_not_be_named() -> None:
    assert host_of("https://Login.Example:443/keys") == "login.example"
    assert host_of("https://login.example:8443/keys") == "login.example:8443"
    assert host_of("http://127.0.0.1:80/keys") == "127.0.0.1:80"


def test_an_allowed_host_takes_the_place_of_those_that_are_named_elsewhere() -> None:
    one = settings(hosts=["login.example", "keys.example:8443"])
    assert one.allows("https://keys.example:8443/jwks")
    assert not one.allows("https://keys.example/jwks")
    assert not one.allows("https://login.example.evil.example/jwks")


def test_the_roles_of_a_declaration_are_those_there_are() -> None:
    hint = get_type_hints(PrincipalSettings)["role"]
    assert set(get_args(hint)) == {"", *ROLES}
