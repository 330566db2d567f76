"""Every request is counted once, under its verb, its route and what it was told."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.unit.acme.gateway.rig import ID, Rig, running

NAME = "http_server_request_duration_seconds_count"
ROUTE = "/v1/projects/{id}"


@pytest.fixture
async def alone() -> AsyncIterator[Rig]:
    """A rig that nobody else asks."""
    async with running() as rig:
        yield rig


def counted(rig: Rig, method: str, route: str, status: int) -> bool:
    labels = f'http_request_method="{method}",http_response_status_code="{status}",http_route="{route}"'
    return f"{NAME}{{{labels}}} 1.0" in rig.metrics.render().decode()


async def test_a_verb_of_a_route_has_a_series_for_each_status(alone: Rig) -> None:
    await alone.ask("GET", f"/v1/projects/{ID}")
    await alone.ask("GET", "/v1/projects/prj_01h455vb4pex5vsknk084sn02r")
    await alone.ask("PATCH", f"/v1/projects/{ID}", {"name": "x"})
    for method, status in (("GET", 200), ("GET", 404), ("PATCH", 200)):
        assert counted(alone, method, ROUTE, status), (method, status)


async def test_head_is_no_get_though_it_is_served_as_one(alone: Rig) -> None:
    await alone.ask("HEAD", f"/v1/projects/{ID}")
    assert counted(alone, "HEAD", ROUTE, 200)
    assert not counted(alone, "GET", ROUTE, 200)


async def test_what_has_no_route_and_verbs_that_nobody_knows_are_counted_together(alone: Rig) -> None:
    await alone.ask("GET", "/nowhere")
    await alone.ask("PROPFIND", f"/v1/projects/{ID}")
    assert counted(alone, "GET", "", 404)
    assert counted(alone, "_OTHER", ROUTE, 405)


async def test_a_line_is_logged_for_each_with_the_path_and_without_the_query(alone: Rig) -> None:
    await alone.ask("GET", "/v1/projects?page_size=1")
    await alone.ask("GET", "/nowhere?secret=1")
    told = [(line["path"], line["route"], line["status"]) for line in alone.lines()]
    assert told == [("/v1/projects", "/v1/projects", 200), ("/nowhere", "", 404)]
