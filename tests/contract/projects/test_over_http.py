"""Projects as a REST client sees them."""

from __future__ import annotations

from typing import Any

import pytest
from acme_projects import plugin as projects_plugin
from acme_users import plugin as users_plugin

from acme.plugin import Plugin
from acme.testing import Client, Platform, User

pytestmark = pytest.mark.every_placement


@pytest.fixture(scope="module")
def plugins() -> list[Plugin]:
    return [users_plugin, projects_plugin]


@pytest.fixture
async def ada(platform: Platform) -> User:
    return await platform.sign_up()


@pytest.fixture
def client(platform: Platform, ada: User) -> Client:
    return platform.client(ada)


@pytest.fixture
async def project(client: Client) -> dict[str, Any]:
    made: dict[str, Any] = (await client.post("/v1/projects", {"name": "Atlas", "labels": {"team": "north"}})).expect(
        201
    )
    return made


async def test_a_project_is_created_with_an_etag_and_read_back(client: Client, ada: User) -> None:
    reply = await client.post("/v1/projects", {"name": "Atlas"})
    made = reply.expect(201)
    assert reply.headers["ETag"] == '"1"'
    assert (made["owner_id"], made["organization_id"], made["archived"]) == (ada.id, ada.organization, False)
    assert (made["description"], made["labels"], made["version"]) == ("", {}, 1)
    assert made["created_at"] == made["updated_at"]
    assert made["created_at"].endswith("Z")
    assert (await client.get(f"/v1/projects/{made['id']}")).expect(200) == made


async def test_a_list_is_read_page_by_page(client: Client) -> None:
    made = {(await client.post("/v1/projects", {"name": name})).expect(201)["id"] for name in "abc"}
    first = (await client.get("/v1/projects", page_size=2)).expect(200)
    rest = (await client.get("/v1/projects", page_size=2, page_token=first["next_page_token"])).expect(200)
    assert [project["id"] for project in first["projects"] + rest["projects"]] == sorted(made, reverse=True)
    assert rest["next_page_token"] == ""


async def test_a_patch_changes_what_its_body_names(client: Client, project: dict[str, Any]) -> None:
    reply = await client.patch(f"/v1/projects/{project['id']}", {"description": "Maps"}, headers={"If-Match": '"1"'})
    changed = reply.expect(200)
    assert reply.headers["ETag"] == '"2"'
    assert changed == project | {"description": "Maps", "version": 2, "updated_at": changed["updated_at"]}
    assert (await client.patch(f"/v1/projects/{project['id']}", {})).expect(200) == changed


async def test_a_project_is_archived_and_unarchived(client: Client, project: dict[str, Any]) -> None:
    path = f"/v1/projects/{project['id']}"
    assert (await client.post(f"{path}:archive")).expect(200)["archived"] is True
    assert (await client.patch(path, {"name": "B"})).expect(409)["code"] == "project_archived"
    assert (await client.post(f"{path}:unarchive")).expect(200)["archived"] is False
    (await client.patch(path, {"name": "B"})).expect(200)


async def test_a_stale_etag_is_a_failed_precondition(client: Client, project: dict[str, Any]) -> None:
    path = f"/v1/projects/{project['id']}"
    for method, to, body in (("PATCH", path, {"name": "B"}), ("POST", f"{path}:archive", None)):
        reply = await client.request(method, to, body, headers={"If-Match": '"7"'})
        assert reply.expect(412)["code"] == "version_mismatch"
    assert (await client.get(path)).expect(200) == project


async def test_a_project_of_somebody_else_is_not_found(platform: Platform, project: dict[str, Any]) -> None:
    other = platform.client(await platform.sign_up())
    path = f"/v1/projects/{project['id']}"
    assert (await other.get(path)).expect(404)["code"] == "not_found"
    assert (await other.patch(path, {"name": "B"})).expect(404)["code"] == "not_found"
    assert (await other.post(f"{path}:archive")).expect(404)["code"] == "not_found"
    assert (await other.get("/v1/projects")).expect(200) == {"projects": [], "next_page_token": ""}


async def test_broken_rules_are_named_by_pointers(client: Client) -> None:
    problem = (await client.post("/v1/projects", {"name": "", "colour": "red"})).expect(422)
    assert {error["pointer"] for error in problem["errors"]} >= {"/colour"}
    problem = (await client.post("/v1/projects", {"name": "", "labels": {"UP": "x"}})).expect(422)
    assert {error["pointer"] for error in problem["errors"]} == {"/name", "/labels/UP"}
    assert (await client.get("/v1/projects", page_token="x")).expect(400)["code"] == "invalid_page_token"
    (await client.get("/v1/projects/prj_x")).expect(422)


async def test_a_repeated_request_with_a_key_makes_one_project(client: Client) -> None:
    key = {"Idempotency-Key": "one"}
    first = await client.post("/v1/projects", {"name": "Once"}, headers=key)
    again = await client.post("/v1/projects", {"name": "Once"}, headers=key)
    assert (first.status, first.json) == (again.status, again.json)
    assert (await client.post("/v1/projects", {"name": "Twice"}, headers=key)).expect(422)["code"] == (
        "idempotency_key_reused"
    )
    assert len((await client.get("/v1/projects")).expect(200)["projects"]) == 1
