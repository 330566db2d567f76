"""Schemas are read as from Confluent's registry."""

from __future__ import annotations

import json
from typing import Any

import pytest

from acme.codec.avro import Released
from acme.contract import load
from acme.gateway.registry import Registry
from acme.telemetry import Metrics
from tests.unit.acme.gateway.test_monitor import monitored

RELEASED = Released(load("acme.contracts"))
REGISTRY = Registry(RELEASED)
SUBJECT = "acme.projects.events-acme.projects.v1.ProjectCreated"
CREATED = RELEASED.subjects[SUBJECT][0]


def ask(path: str) -> tuple[int, Any]:
    """Status and body."""
    status, kind, body = REGISTRY.answer(path)
    assert kind == "application/vnd.schemaregistry.v1+json"
    return status, json.loads(body)


def test_an_id_leads_to_its_schema_as_text() -> None:
    status, body = ask(f"/schemas/ids/{CREATED.id}")
    assert status == 200
    assert body.keys() == {"schema"}
    assert json.loads(body["schema"]) == CREATED.schema()
    assert "\n" not in body["schema"]


def test_an_id_leads_to_its_subject_and_version() -> None:
    assert ask(f"/schemas/ids/{CREATED.id}/versions") == (200, [{"subject": SUBJECT, "version": 1}])


def test_subjects_and_their_versions_are_listed() -> None:
    status, subjects = ask("/subjects")
    assert (status, subjects) == (200, sorted(subjects))
    assert SUBJECT in subjects
    assert ask(f"/subjects/{SUBJECT}/versions") == (200, [1])
    assert ask("/schemas/types") == (200, ["AVRO"])


@pytest.mark.parametrize("version", ["1", "latest"])
def test_a_version_has_its_id_and_schema(version: str) -> None:
    status, body = ask(f"/subjects/{SUBJECT}/versions/{version}")
    assert (status, body["subject"], body["version"], body["id"]) == (200, SUBJECT, 1, CREATED.id)
    assert json.loads(body["schema"]) == CREATED.schema()


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/schemas/ids/5", 404, 40403),
        ("/schemas/ids/5/versions", 404, 40403),
        ("/schemas/ids/²", 404, 40403),
        ("/schemas/ids/99999999999999999999", 404, 40403),
        ("/subjects/nobody/versions", 404, 40401),
        ("/subjects/nobody/versions/1", 404, 40401),
        (f"/subjects/{SUBJECT}/versions/2", 404, 40402),
        (f"/subjects/{SUBJECT}/versions/0", 422, 42202),
        (f"/subjects/{SUBJECT}/versions/newest", 422, 42202),
        ("/schemas", 404, 404),
        (f"/subjects/{SUBJECT}", 404, 404),
        (f"/schemas/ids/{CREATED.id}/more", 404, 404),
    ],
)
def test_what_is_not_there_is_said_in_confluents_codes(path: str, status: int, code: int) -> None:
    got, body = ask(path)
    assert (got, body["error_code"]) == (status, code)
    assert body["message"]


async def test_the_monitor_answers_for_it_once_contracts_are_loaded_and_to_readers_only() -> None:
    path = f"/schemas/ids/{CREATED.id}"
    async with monitored() as (monitor, client):
        assert (await client.get(path)).status == 404
        monitor.registry = REGISTRY
        answer = await client.get(path)
        assert (answer.status, answer.headers["content-type"]) == (200, "application/vnd.schemaregistry.v1+json")
        assert (await client.request("POST", f"/subjects/{SUBJECT}/versions")).status == 405
        assert (await client.get("/metrics")).headers["content-type"] == Metrics.CONTENT_TYPE
