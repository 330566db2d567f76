"""Arguments become the request that the gateway reads, and answers the message that the contract names."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import pytest

from acme.client.operation import UNSET, Operation
from acme.client.transport import Answer
from acme.codec.json import Json
from acme.contract import load
from acme.contracts.projects.v1 import Project
from acme.errors import Invalid

CONTRACTS: Final = load("acme.contracts")
JSON: Final = Json(CONTRACTS)
METHODS: Final = {method.path: method for service in CONTRACTS.services.values() for method in service.methods}
PROJECT: Final = "prj_01m821mp30er1rnjnb3atkr46z"


def operation(service: str, method: str) -> Operation:
    return Operation(METHODS[f"/acme.{service}/{method}"], JSON)


def test_path_variables_are_escaped_and_the_rest_is_the_body() -> None:
    request = operation("projects.v1.Projects", "UpdateProject").request(
        {"id": "a/b c", "name": "Atlas", "labels": {}, "description": UNSET, "if_match": 7}, "key"
    )
    assert (request.verb, request.path) == ("PATCH", "/v1/projects/a%2Fb%20c")
    assert msgspec.json.decode(request.body or b"") == {"name": "Atlas", "labels": {}}
    assert (request.headers["If-Match"], request.headers["Idempotency-Key"]) == ('"7"', "key")


@pytest.mark.parametrize("user_id", ["", ".", ".."])
def test_no_argument_leads_to_the_path_of_another_method(user_id: str) -> None:
    remove = operation("users.v1.Organizations", "RemoveMember")
    with pytest.raises(ValueError, match="user_id cannot be"):
        remove.request({"organization_id": "org_1", "user_id": user_id})


def test_what_is_left_out_is_not_sent_and_none_is_null() -> None:
    request = operation("users.v1.Organizations", "UpdateMember").request(
        {"organization_id": "org_1", "user_id": "usr_1", "expires_at": None, "role": UNSET}
    )
    assert request.body == b'{"expires_at":null}'


def test_reads_have_a_query_and_neither_body_nor_key() -> None:
    request = operation("projects.v1.Projects", "ListProjects").request(
        {"filter": 'labels.env = "prod"', "page_size": 5, "show_deleted": True, "page_token": UNSET}
    )
    assert request.path == "/v1/projects?filter=labels.env+%3D+%22prod%22&page_size=5&show_deleted=true"
    assert request.body is None
    assert "Idempotency-Key" not in request.headers
    assert request.repeatable


def test_a_body_that_is_one_field_stands_alone() -> None:
    request = operation("projects.v1.ProjectSettings", "UpdateProjectSettings").request(
        {"project_id": PROJECT, "patch": {"theme": None, "limits": {"cpu": 2.5}}, "if_match": 0}
    )
    assert msgspec.json.decode(request.body or b"") == {"theme": None, "limits": {"cpu": 2.5}}


def test_times_and_lists_are_written_as_json_has_them() -> None:
    request = operation("users.v1.Invitations", "CreateInvitation").request(
        {"organization_id": "o", "email": "e", "role": "r", "membership_expires_at": datetime(2026, 1, 2, tzinfo=UTC)}
    )
    assert msgspec.json.decode(request.body or b"")["membership_expires_at"] == "2026-01-02T00:00:00Z"


def test_public_methods_and_those_with_secret_replies_have_no_key() -> None:
    assert not operation("users.v1.Sessions", "CreateSession").keyed
    assert not operation("users.v1.Tokens", "CreateToken").keyed
    assert operation("projects.v1.Projects", "CreateProject").keyed


def test_every_change_has_a_key_of_its_own() -> None:
    create = operation("projects.v1.Projects", "CreateProject")
    keys = {create.request({"name": "Atlas"}).headers["Idempotency-Key"] for _ in range(100)}
    assert len(keys) == 100


def answer(**body: Any) -> Answer:
    return Answer(msgspec.json.encode(body), {})


def test_a_reply_of_a_newer_platform_is_read_without_what_is_unknown() -> None:
    listing = operation("projects.v1.Projects", "ListProjects")
    reply = listing.reply(
        answer(projects=[{"id": PROJECT, "colour": "red", "labels": {"a": "b"}}], next_page_token="", total=1)
    )
    assert reply.projects == [Project(id=PROJECT, labels={"a": "b"})]


def test_a_reply_that_is_wrong_is_not_read() -> None:
    with pytest.raises(Invalid):
        operation("projects.v1.Projects", "GetProject").reply(answer(id=7))


def test_what_has_no_content_is_an_empty_message() -> None:
    reply = operation("projects.v1.Projects", "DeleteProject").reply(Answer(b"", {}))
    assert type(reply).__name__ == "DeleteProjectReply"
