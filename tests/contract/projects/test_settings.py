"""Settings of projects as a REST client sees them: merge patches, versions, schemas."""

from __future__ import annotations

from typing import Any, Final

import pytest
from acme_projects import plugin as projects_plugin
from acme_users import plugin as users_plugin

from acme.contracts.google.protobuf import Struct
from acme.contracts.projects.v1 import (
    DeclareSettingsRequest,
    GetProjectSettingsRequest,
    ProjectSettingsStub,
    ProjectSettingsUpdated,
    UpdateProjectSettingsRequest,
)
from acme.errors import NotFound, Unconditional
from acme.plugin import Plugin
from acme.testing import Client, Platform, User

pytestmark = pytest.mark.every_placement

THEME: Final = {
    "type": "object",
    "properties": {"theme": {"enum": ["dark", "light"]}, "size": {"type": "integer"}},
    "unevaluatedProperties": False,
}


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
async def project(client: Client) -> str:
    made: str = (await client.post("/v1/projects", {"name": "Atlas"})).expect(201)["id"]
    return made


class Settings:
    """The settings of one project, and the ETag last seen."""

    def __init__(self, client: Client, project: str) -> None:
        self.client, self.project, self.etag = client, project, '"0"'
        self.path = f"/v1/projects/{project}/settings"

    async def patch(self, patch: dict[str, Any], status: int = 200, etag: str | None = None) -> Any:
        reply = await self.client.patch(self.path, patch, headers={"If-Match": etag or self.etag})
        body = reply.expect(status)
        if status == 200:
            self.etag = reply.headers["ETag"]
        return body

    async def read(self) -> Any:
        return (await self.client.get(self.path)).expect(200)


@pytest.fixture
def kept(client: Client, project: str) -> Settings:
    return Settings(client, project)


async def test_a_new_project_has_empty_settings_of_version_0(kept: Settings, client: Client) -> None:
    reply = await client.get(kept.path)
    assert reply.expect(200) == {"settings": {}, "version": 0, "updated_by": ""}
    assert reply.headers["ETag"] == '"0"'


async def test_a_patch_is_merged_and_makes_a_version(kept: Settings, ada: User) -> None:
    first = await kept.patch({"theme": "dark", "limits": {"cpu": 2, "memory": 1.5}, "tags": ["a", None]})
    assert (first["version"], first["updated_by"]) == (1, ada.id)
    second = await kept.patch({"limits": {"cpu": None, "disk": 3}, "theme": None})
    assert second["settings"] == {"limits": {"memory": 1.5, "disk": 3}, "tags": ["a", None]}
    assert await kept.read() == second


async def test_a_patch_that_changes_nothing_makes_no_version(kept: Settings) -> None:
    made = await kept.patch({"theme": "dark"})
    assert await kept.patch({"theme": "dark", "other": None}) == made
    assert await kept.patch({}) == made


async def test_without_if_match_a_patch_is_answered_428_and_with_an_old_one_412(kept: Settings, client: Client) -> None:
    reply = await client.patch(kept.path, {"theme": "dark"})
    assert reply.expect(428)["code"] == "precondition_required"
    await kept.patch({"theme": "dark"})
    assert (await kept.patch({"theme": "light"}, 412, etag='"0"'))["code"] == "version_mismatch"
    assert (await kept.read())["settings"] == {"theme": "dark"}


async def test_a_service_that_calls_without_a_version_is_refused_too(
    platform: Platform, project: str, ada: User
) -> None:
    stub = platform.stub(ProjectSettingsStub, as_=ada)
    with pytest.raises(Unconditional):
        await stub.update_project_settings(
            UpdateProjectSettingsRequest(project_id=project, patch=Struct.from_dict({"a": 1}))
        )


async def test_versions_are_listed_youngest_first_and_page_by_page(kept: Settings, client: Client) -> None:
    for number in range(1, 4):
        await kept.patch({"number": number})

    first = (await client.get(f"{kept.path}/history", page_size=2)).expect(200)
    rest = (await client.get(f"{kept.path}/history", page_size=2, page_token=first["next_page_token"])).expect(200)
    versions = first["versions"] + rest["versions"]
    assert [(version["version"], version["settings"]) for version in versions] == [
        (3, {"number": 3}),
        (2, {"number": 2}),
        (1, {"number": 1}),
    ]
    assert rest["next_page_token"] == ""


async def test_each_change_is_told(kept: Settings, platform: Platform) -> None:
    await kept.patch({"theme": "dark"})
    await kept.patch({"theme": "dark"})
    told = [
        event
        for event in await platform.outbox("projects", key=kept.project)
        if isinstance(event, ProjectSettingsUpdated)
    ]
    assert [(event.project_id, event.version) for event in told] == [(kept.project, 1)]
    assert told[0].organization_id.startswith("org_")


async def test_settings_of_a_project_that_is_none_of_the_callers_do_not_exist(
    kept: Settings, platform: Platform
) -> None:
    stranger = platform.client(await platform.sign_up())
    assert (await stranger.get(kept.path)).expect(404)
    assert (await stranger.get(f"{kept.path}/history")).expect(404)
    assert (await stranger.patch(kept.path, {"a": 1}, headers={"If-Match": '"0"'})).expect(404)
    assert (await kept.read())["version"] == 0


async def test_an_archived_project_keeps_its_settings(kept: Settings, client: Client) -> None:
    await kept.patch({"theme": "dark"})
    (await client.post(f"/v1/projects/{kept.project}:archive")).expect(200)
    assert (await kept.patch({"theme": "light"}, 409))["code"] == "project_archived"
    assert (await kept.read())["settings"] == {"theme": "dark"}


async def test_settings_are_bounded(kept: Settings) -> None:
    assert (await kept.patch({"text": "x" * 65_600}, 422))["code"] == "settings_too_large"
    deep: Any = 1
    for _ in range(33):
        deep = {"a": deep}
    assert (await kept.patch(deep, 422))["code"] == "settings_too_deep"
    assert (await kept.read())["version"] == 0


async def test_settings_keep_to_what_the_organisation_declares(kept: Settings, client: Client, ada: User) -> None:
    path = f"/v1/organizations/{ada.organization}/projectSettingsSchema"
    assert (await client.get(path)).expect(200)["version"] == 0
    declared = (await client.put(path, THEME)).expect(200)
    assert (declared["schema"], declared["version"]) == (THEME, 1)
    problem = await kept.patch({"theme": "red", "size": 2, "other": 1}, 422)
    assert problem["code"] == "settings_schema"
    assert {error["pointer"] for error in problem["errors"]} == {"/theme", ""}
    await kept.patch({"theme": "dark", "size": 2})
    assert (await client.get(path)).expect(200) == declared


async def test_a_schema_that_changes_alters_no_settings(kept: Settings, client: Client, ada: User) -> None:
    path = f"/v1/organizations/{ada.organization}/projectSettingsSchema"
    await kept.patch({"old": 1})
    (await client.put(path, THEME)).expect(200)
    assert (await kept.read())["settings"] == {"old": 1}
    await kept.patch({"theme": "dark"}, 422)
    await kept.patch({"theme": "dark", "old": None})


async def test_a_schema_is_changed_by_version(client: Client, ada: User) -> None:
    path = f"/v1/organizations/{ada.organization}/projectSettingsSchema"
    (await client.put(path, THEME, headers={"If-Match": '"7"'})).expect(412)
    (await client.put(path, THEME, headers={"If-Match": '"0"'})).expect(200)
    (await client.put(path, {}, headers={"If-Match": '"0"'})).expect(412)
    assert (await client.put(path, {}, headers={"If-Match": '"1"'})).expect(200)["version"] == 2


async def test_a_schema_that_is_put_twice_with_one_key_is_put_once(client: Client, ada: User) -> None:
    path = f"/v1/organizations/{ada.organization}/projectSettingsSchema"
    first, second = [await client.put(path, THEME, headers={"Idempotency-Key": "one"}) for _ in range(2)]
    assert first.expect(200) == second.expect(200)
    assert (await client.get(path)).expect(200)["version"] == 1


async def test_what_is_no_schema_is_refused_with_its_place(client: Client, ada: User) -> None:
    path = f"/v1/organizations/{ada.organization}/projectSettingsSchema"
    problem = (await client.put(path, {"properties": {"a": {"type": "nope"}}})).expect(422)
    assert problem["code"] == "invalid_schema"
    assert (await client.get(path)).expect(200)["version"] == 0


async def test_schemas_of_other_peoples_organisations_do_not_exist(platform: Platform, ada: User) -> None:
    stranger = platform.client(await platform.sign_up())
    path = f"/v1/organizations/{ada.organization}/projectSettingsSchema"
    (await stranger.get(path)).expect(404)
    (await stranger.put(path, THEME)).expect(404)


async def test_a_plugin_declares_the_member_of_its_name(platform: Platform, kept: Settings) -> None:
    stub = platform.stub(ProjectSettingsStub, as_service="weather")
    await stub.declare_settings(DeclareSettingsRequest(schema=Struct.from_dict(THEME)))
    problem = await kept.patch({"weather": {"theme": "red"}}, 422)
    assert [error["pointer"] for error in problem["errors"]] == ["/weather/theme"]
    await kept.patch({"weather": {"theme": "dark"}, "anything": "else"})


async def test_a_project_that_is_not_there_has_no_settings(platform: Platform, ada: User) -> None:
    stub = platform.stub(ProjectSettingsStub, as_=ada)
    with pytest.raises(NotFound):
        await stub.get_project_settings(GetProjectSettingsRequest(project_id="prj_01m821mp30er1rnjnb3atkr46z"))
