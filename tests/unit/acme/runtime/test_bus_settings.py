"""The settings of the bus, and topics as they follow from them."""

from __future__ import annotations

from typing import Any

import pytest

from acme.config import ConfigError
from acme.ports import Topic
from acme.runtime.bus_settings import BusSettings
from acme.runtime.settings import load

DAY = 86_400.0


def settings(**values: Any) -> BusSettings:
    return load(values={"bus": values}).bus


def test_without_settings_the_bus_is_the_log_beside_the_plugins_databases() -> None:
    assert settings().url == "log:"


def test_topics_have_twelve_partitions_and_keep_events_for_a_week() -> None:
    assert settings().topic("acme.users.events") == Topic("acme.users.events", 12, 7 * DAY, False, 3)


@pytest.mark.parametrize(("others", "kept"), [(DAY, 30 * DAY), (90 * DAY, 90 * DAY), (0, 0)])
def test_the_audit_log_is_kept_for_thirty_days_and_never_less_than_the_others(others: float, kept: float) -> None:
    assert settings().topic("acme.audit.log").retention == 30 * DAY
    assert settings(retention=others).topic("acme.audit.log").retention == kept
    assert settings(topics={"acme.audit.log": {"retention": 5}}).topic("acme.audit.log").retention == 5


def test_a_topic_differs_in_what_is_said_of_it_and_in_nothing_else() -> None:
    bus = settings(partitions=6, retention=DAY, replication=2, topics={"acme.users.events": {"compact": True}})
    assert bus.topic("acme.users.events") == Topic("acme.users.events", 6, DAY, True, 2)
    own = settings(topics={"acme.users.events": {"partitions": 3, "retention": 0, "replication": 1}})
    assert own.topic("acme.users.events") == Topic("acme.users.events", 3, 0.0, False, 1)


def test_the_audit_log_keeps_its_thirty_days_when_another_topic_is_spoken_of() -> None:
    bus = settings(topics={"acme.users.events": {"partitions": 3}})
    assert bus.topic("acme.audit.log").retention == 30 * DAY
    assert settings(topics={"acme.audit.log": {"partitions": 3}}).topic("acme.audit.log").retention == 30 * DAY


@pytest.mark.parametrize(
    "url", ["log:", "outbox:", "postgresql://h/bus", "postgres://h/bus", "kafka://h:9092,i:9092", "kafkas://h"]
)
def test_these_are_urls_of_a_bus(url: str) -> None:
    assert settings(url=url).url == url


@pytest.mark.parametrize("url", ["", "log", "kafka:", "redis://h", "log://h", "http://h"])
def test_other_urls_are_refused_with_the_settings(url: str) -> None:
    with pytest.raises(ConfigError, match=r"bus\.url"):
        settings(url=url)


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"partitions": 0}, r"bus\.partitions"),
        ({"timeout": 0}, r"bus\.timeout"),
        ({"retention": -1}, r"bus\.retention"),
        ({"mechanism": "GSSAPI"}, r"bus\.mechanism"),
        ({"topics": {"acme.users.events": {"partitions": 1001}}}, r"bus\.topics"),
        ({"topics": {"acme.users.events": {"size": 1}}}, r"size"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_path(values: dict[str, Any], where: str) -> None:
    with pytest.raises(ConfigError, match=where):
        settings(**values)


def test_a_password_is_not_in_what_the_settings_look_like() -> None:
    bus = settings(url="kafka://h", user="ann", password="hush")
    assert "hush" not in repr(bus)
    assert "password=set" in repr(bus)
    assert "hush" not in repr(settings(url="postgresql://ann:hush@h/bus"))
