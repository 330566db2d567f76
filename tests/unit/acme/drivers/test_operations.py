"""Databases of all kinds are measured in one family."""

from __future__ import annotations

from acme.drivers.operations import Operations
from acme.telemetry import Metrics


def test_two_kinds_of_databases_share_a_family_and_no_series() -> None:
    metrics = Metrics()
    Operations(metrics, "postgresql", "users").bind("SELECT").observe(0.1)
    Operations(metrics, "redis", "0").bind("GET", "TimeoutError").observe(0.1)
    counts = [line for line in metrics.render().decode().splitlines() if "_count{" in line]
    name = "db_client_operation_duration_seconds_count"
    assert counts == [
        f'{name}{{db_namespace="users",db_operation_name="SELECT",db_system_name="postgresql",error_type=""}} 1.0',
        f'{name}{{db_namespace="0",db_operation_name="GET",db_system_name="redis",error_type="TimeoutError"}} 1.0',
    ]


def test_a_series_is_bound_once() -> None:
    operations = Operations(Metrics(), "redis", "0")
    assert operations.bind("GET") is operations.bind("GET")
