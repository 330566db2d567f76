"""What is measured of a database, and what its statements are called."""

from __future__ import annotations

import pytest

from acme.drivers.postgres.measures import Pooled, State, operation, summary
from acme.telemetry import Metrics


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT 1", "SELECT"),
        ("\n  select id FROM projects WHERE id = $1", "SELECT projects"),
        ("-- what is due\nSELECT id FROM acme.outbox ORDER BY id", "SELECT acme.outbox"),
        ("/* a\nb */ INSERT INTO acme.inbox (id) VALUES ($1)", "INSERT acme.inbox"),
        ("UPDATE users SET name = $1", "UPDATE users"),
        ("UPDATE ONLY users SET name = $1", "UPDATE users"),
        ("DELETE FROM users WHERE id = $1", "DELETE users"),
        ("BEGIN", "BEGIN"),
        ("COMMIT", "COMMIT"),
        (
            "WITH more AS (\n    SELECT 2\n), e AS (\n    INSERT INTO acme.outbox SELECT 1\n)\nINSERT INTO kept VALUES (1)",
            "INSERT acme.outbox",
        ),
        ("WITH found AS (SELECT 1) SELECT * FROM found", "SELECT found"),
        ("who knows what this is", "_OTHER"),
        ("", "_OTHER"),
        ("'O''Brien' SELECT", "_OTHER"),
    ],
)
def test_a_statement_is_called_by_what_it_does_and_its_table(sql: str, said: str) -> None:
    assert summary(sql) == said
    assert operation(sql) == said.split(" ")[0]


def test_series_are_told_apart_by_operation_and_error_and_never_by_the_text() -> None:
    metrics = Metrics()
    pool = Pooled(metrics, "things", lambda: State(0, 0, 1, 0))
    for number in range(3000):
        pool.observer(f"SELECT a FROM things WHERE secret = {number}")(0.001)  # noqa: S608 - it is never sent
    pool.failed("SELECT a FROM things", "40001", 0.5)
    shown = metrics.render().decode()
    assert "secret" not in shown
    labels = 'db_namespace="things",db_operation_name="SELECT",db_system_name="postgresql"'
    assert f'db_client_operation_duration_seconds_count{{{labels},error_type=""}} 3000.0' in shown
    assert f'db_client_operation_duration_seconds_count{{{labels},error_type="40001"}} 1.0' in shown


def test_a_pool_tells_how_it_is_until_its_end() -> None:
    metrics = Metrics()
    one = Pooled(metrics, "users", lambda: State(used=3, idle=1, most=8, waiting=2))
    other = Pooled(metrics, "projects", lambda: State(used=0, idle=0, most=4, waiting=0))
    shown = metrics.render().decode()
    assert (
        'db_client_connection_count{db_client_connection_pool_name="users",db_client_connection_state="used"} 3.0'
        in shown
    )
    assert (
        'db_client_connection_count{db_client_connection_pool_name="users",db_client_connection_state="idle"} 1.0'
        in shown
    )
    assert 'db_client_connection_max{db_client_connection_pool_name="projects"} 4.0' in shown
    assert 'db_client_connection_pending_requests{db_client_connection_pool_name="users"} 2.0' in shown
    one.end()
    one.end()
    shown = metrics.render().decode()
    assert 'db_client_connection_max{db_client_connection_pool_name="users"}' not in shown
    assert 'db_client_connection_max{db_client_connection_pool_name="projects"}' in shown
    other.end()
