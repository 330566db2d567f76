"""Two configurations are told apart setting by setting, and nothing that may be secret is told."""

from __future__ import annotations

from typing import Any

import pytest

from acme.runtime.changes import Change, changes, differences, digest, flat, merged
from acme.runtime.settings import Config, load

GET = "acme.projects.v1.Projects/GetProject"


def told(before: Config, after: Config) -> list[tuple[str, str, str]]:
    return list(differences(flat(before), flat(after)))


def test_every_difference_has_its_path_and_both_values() -> None:
    after = load(
        values={"gateway": {"timeout": 5, "cors": {"origins": ["https://a.example"]}, "routes": {GET: {"cost": 2}}}}
    )
    assert told(load(), after) == [
        ("gateway.cors.origins", "[]", '["https://a.example"]'),
        (f'gateway.routes."{GET}".cost', "", "2"),
        ("gateway.timeout", "10.0", "5.0"),
    ]
    assert told(after, load())[1] == (f'gateway.routes."{GET}".cost', "2", "")
    assert told(after, after) == []


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"secrets": {"master_key": "c2VjcmV0" * 8}}, "secrets.master_key"),
        ({"plugins": {"users": {"pepper": "secret"}}}, "plugins.users.pepper"),
        ({"database": {"url": "postgresql://me:secret@host/"}}, "database.url"),
        ({"cache": {"url": "redis://me:secret@host:6379/0"}}, "cache.url"),
        ({"traces": {"headers": {"x-api-key": "secret"}}}, "traces.headers.x-api-key"),
    ],
)
def test_what_may_be_secret_is_named_and_not_shown(values: dict[str, Any], path: str) -> None:
    (found,) = told(load(), load(values=values))
    assert (found[0], found[2]) == (path, "(hidden)")
    assert "secret" not in "".join(found).removeprefix("secrets")


def test_what_a_process_cannot_take_while_it_runs_waits_for_a_restart() -> None:
    old = load(values={"gateway": {"port": 8080}})
    new = load(values={"gateway": {"port": 9000, "timeout": 2}, "database": {"connections": 3}, "worker": {"grace": 1}})
    assert changes(old, new) == (
        Change("gateway.timeout", "10.0", "2.0"),
        Change("worker.grace", "10.0", "1.0"),
        Change("database.connections", "8", "3", "the plugins keep the connections they have"),
        Change("gateway.port", "8080", "9000", "the port is taken when the process starts"),
    )
    now = merged(old, new)
    assert (now.gateway.port, now.gateway.timeout, now.database.connections, now.worker.grace) == (8080, 2.0, 8, 1.0)
    assert changes(now, old) == (Change("gateway.timeout", "2.0", "10.0"), Change("worker.grace", "1.0", "10.0"))


def test_what_is_recorded_and_sampled_changes_while_it_runs_and_where_it_goes_does_not() -> None:
    new = load(values={"traces": {"ratio": 0.5, "recent": 0, "slow": 2, "otlp": "http://127.0.0.1:4318/v1/traces"}})
    now = merged(load(), new).traces
    assert (now.ratio, now.recent, now.slow, now.otlp) == (0.5, 0, 2.0, "")


def test_a_digest_is_of_what_is_set_and_not_of_how() -> None:
    same = (load(), load(values={"gateway": {"timeout": 10}}), load(environ={"ACME_GATEWAY__TIMEOUT": "10"}))
    assert len({digest(each) for each in same}) == 1
    assert digest(load(values={"gateway": {"timeout": 11}})) != digest(load())
