"""Metrics of consumers: names of OpenTelemetry, several plugins in one process."""

from __future__ import annotations

from acme.bus.measures import Group, Measures, Standing
from acme.telemetry import Metrics


def test_metrics_have_the_names_and_labels_of_opentelemetry() -> None:
    metrics = Metrics()
    measures = Measures(metrics, "kafka")
    measures.processed("users.ear", "acme.users.events", "Broken", 0.2)
    measures.consumed("users.ear", "acme.users.events", 3)
    measures.committed("users.ear", "", 0.01)
    measures.repeated("users.ear", 2)
    shown = metrics.render().decode()
    labels = (
        'error_type="{}",messaging_consumer_group_name="users.ear",messaging_destination_name="{}",'
        'messaging_operation_name="{}",messaging_system="kafka"'
    )
    processed = labels.format("Broken", "acme.users.events", "process")
    assert f"messaging_process_duration_seconds_count{{{processed}}} 1.0" in shown
    consumed = labels.format("", "acme.users.events", "poll")
    assert f"messaging_client_consumed_messages_total{{{consumed}}} 3.0" in shown
    assert f"messaging_client_operation_duration_seconds_count{{{labels.format('', '', 'commit')}}} 1.0" in shown
    assert 'acme_inbox_duplicates_total{messaging_consumer_group_name="users.ear"} 2.0' in shown


def test_all_groups_of_a_process_share_the_gauges() -> None:
    metrics = Metrics()
    measures = Measures(metrics)
    measures.groups["users.ear"] = Group(lambda: {"one": Standing(5, 1.5, 1)}, letters=2)
    measures.groups["audit.log"] = Group(lambda: {"two": Standing()})
    shown = metrics.render().decode()
    ear = 'messaging_consumer_group_name="users.ear",messaging_destination_name="one"'
    assert f"acme_consumer_lag_messages{{{ear}}} 5.0" in shown
    assert f"acme_consumer_lag_seconds{{{ear}}} 1.5" in shown
    assert f"acme_consumer_stuck_partitions{{{ear}}} 1.0" in shown
    assert 'acme_consumer_lag_messages{messaging_consumer_group_name="audit.log"' in shown
    assert 'acme_dlq_depth{messaging_consumer_group_name="users.ear"} 2.0' in shown
    assert 'acme_dlq_depth{messaging_consumer_group_name="audit.log"}' not in shown  # nobody has counted yet
