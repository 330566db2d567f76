"""A process and its configuration fit together, or each misfit is told with what to do."""

from __future__ import annotations

from typing import Any

import pytest

from acme.config import ConfigError
from acme.runtime.roles import WHOLE, Role, check
from acme.runtime.settings import Config, load

PLUGINS = ("projects", "users")
ELSEWHERE = {"users": "grpc://users:1", "projects": "grpc://projects:1"}
SERVER = {"url": "postgresql://server/"}
PLATFORM = {"public_url": "https://acme.example"}
GATEWAY = Role(gateway=True, host=frozenset(), alone=False)
USERS = Role(gateway=False, host=frozenset({"users"}), alone=False)


def config(**tables: Any) -> Config:
    return load(values={"database": SERVER, "platform": PLATFORM, **tables})


def faults(role: Role, settings: Config) -> list[str]:
    """What `check` finds."""
    try:
        check(role, settings, PLUGINS)
    except ConfigError as error:
        return list(error.problems)
    return []


@pytest.mark.parametrize(
    ("role", "settings"),
    [
        (WHOLE, load()),
        (GATEWAY, load(values={"services": ELSEWHERE})),  # no database, no public URL: it needs neither
        (USERS, config(services={"projects": "grpc://projects:1"})),
        (USERS, config(services={"users": "", "projects": "grpc://projects:1"})),  # "" takes an address back
        (USERS, config(services={"projects": "grpc://projects:1"}, database={"urls": {"users": "postgresql://x/u"}})),
    ],
    ids=["whole", "gateway", "worker", "worker that takes back its address", "worker with a database of its own"],
)
def test_what_fits_is_let_through(role: Role, settings: Config) -> None:
    assert faults(role, settings) == []


@pytest.mark.parametrize(
    ("role", "settings", "words"),
    [
        (WHOLE, config(services={"users": "grpc://a:1"}), ["services.users", "has an address as well"]),
        (GATEWAY, config(services={"users": "grpc://a:1"}), ["services.projects", "neither hosted", "disabled"]),
        (USERS, config(services=ELSEWHERE), ["services.users", 'ACME_SERVICES__USERS=""', "--only without users"]),
        (GATEWAY, config(services={**ELSEWHERE, "user": "grpc://a:1"}), ["services user", "Did you mean users?"]),
        (
            USERS,
            load(values={"services": {"projects": "grpc://a:1"}, "platform": PLATFORM}),
            ["database.url", "embedded:", "inside one process", "ACME_DATABASE__URL"],
        ),
        (
            USERS,
            config(services={"projects": "grpc://a:1"}, worker={"replicas": 2}),
            ["cache.url", "memory:", "ACME_CACHE__URL", "replicas = 1"],
        ),
        (
            GATEWAY,
            config(services=ELSEWHERE, worker={"replicas": 2}),
            ["limiter.url", "memory:", "ACME_LIMITER__URL", "ACME_LIMITER__GATEWAYS"],
        ),
        (
            USERS,
            load(values={"services": {"projects": "grpc://a:1"}, "database": SERVER}),
            ["platform.public_url", "links in mails"],
        ),
        (GATEWAY, config(services={**ELSEWHERE, "users": "grpcs://a:1"}), ["users: a grpcs: address", "[mtls]"]),
        (
            USERS,
            config(services={"projects": "grpc://a:1"}, worker={"listen": "grpcs://[::]:1"}),
            ["worker.listen", "[mtls]"],
        ),
    ],
    ids=[
        "both, in one process",
        "neither",
        "both",
        "unknown",
        "embedded",
        "cache",
        "limiter",
        "no public URL",
        "TLS out",
        "TLS in",
    ],
)
def test_what_does_not_fit_is_one_line_that_says_what_to_do(role: Role, settings: Config, words: list[str]) -> None:
    (told,) = faults(role, settings)
    assert [word for word in words if word not in told] == []
    assert "\n" not in told


def test_all_faults_are_told_at_once() -> None:
    role = Role(gateway=False, host=frozenset({"user"}), alone=False)
    assert len(faults(role, load())) == 5  # unknown, two without a place, embedded, no public URL


def test_a_disabled_plugin_is_told_as_such() -> None:
    settings = config(services={"users": "grpc://a:1"}, platform={**PLATFORM, "disabled": ["users"]})
    with pytest.raises(ConfigError, match="services users: the plugin users is disabled"):
        check(GATEWAY, settings, [])


@pytest.mark.parametrize(
    ("role", "title"),
    [
        (GATEWAY, "gateway"),
        (USERS, "users"),
        (Role(gateway=True, host=frozenset({"users", "projects"}), alone=False), "gateway+projects+users"),
        (Role(gateway=True, name="edge"), "edge"),
        (WHOLE, "gateway"),
    ],
)
def test_a_process_is_called_after_what_it_does(role: Role, title: str) -> None:
    assert role.title == title


@pytest.mark.parametrize(
    ("role", "reads", "not_read"),
    [
        (
            Role(),
            {"gateway.timeout", "database.url", "plugins.users.x", "log.level"},
            {"worker.grace", "split.workers"},
        ),
        (
            Role(host=frozenset(), alone=False),
            {"gateway.timeout", "limiter.url", "tokens.leeway"},
            {"database.url", "worker.grace", "plugins.users.x"},
        ),
        (
            Role(gateway=False, host=frozenset({"users"}), alone=False),
            {"database.url", "worker.grace", "plugins.users.x"},
            {"gateway.timeout", "limiter.url"},
        ),
    ],
    ids=["whole", "gateway", "worker"],
)
def test_a_process_is_told_of_settings_that_matter_to_it(role: Role, reads: set[str], not_read: set[str]) -> None:
    assert {setting for setting in reads | not_read if role.reads(setting)} == reads
