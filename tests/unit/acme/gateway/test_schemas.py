"""Messages and rules as JSON Schema."""

from __future__ import annotations

from typing import Any

import pytest

from acme.contract import Rules
from acme.gateway.schemas import Schemas, _ruled
from tests.unit.acme.gateway.rig import CONTRACTS


@pytest.fixture
def made() -> dict[str, Any]:
    return {}


@pytest.fixture
def schemas(made: dict[str, Any]) -> Schemas:
    return Schemas(made.__setitem__)


def test_a_reply_always_has_its_plain_fields(schemas: Schemas, made: dict[str, Any]) -> None:
    ref = schemas.reply(CONTRACTS.messages["acme.projects.v1.Project"])
    assert ref == {"$ref": "#/components/schemas/Project"}
    project = made["Project"]
    assert {"id", "labels", "archived", "version"} <= set(project["required"])
    assert "created_at" not in project["required"]
    assert "additionalProperties" not in project
    assert project["properties"]["created_at"] == {"type": "string", "format": "date-time"}
    assert project["properties"]["labels"] == {"type": "object", "additionalProperties": {"type": "string"}}
    assert project["properties"]["version"]["maximum"] == 2**53 - 1


def test_a_message_is_made_once(schemas: Schemas, made: dict[str, Any]) -> None:
    schemas.reply(CONTRACTS.messages["acme.projects.v1.ListProjectsReply"])
    schemas.reply(CONTRACTS.messages["acme.projects.v1.Project"])
    assert made.keys() == {"ListProjectsReply", "Project"}
    assert made["ListProjectsReply"]["properties"]["projects"] == {
        "type": "array",
        "items": {"$ref": "#/components/schemas/Project"},
    }


def test_a_message_that_holds_itself_ends(schemas: Schemas, made: dict[str, Any]) -> None:
    schemas.reply(CONTRACTS.messages["acme.options.v1.Rules"])
    assert made["Rules"]["properties"]["keys"]["$ref"] == "#/components/schemas/Rules"


def test_an_enum_is_its_names(schemas: Schemas, made: dict[str, Any]) -> None:
    schemas.reply(CONTRACTS.messages["acme.options.v1.Rules"])
    assert made["Format"]["enum"][:2] == ["FORMAT_UNSPECIFIED", "FORMAT_EMAIL"]
    assert "FORMAT_LINE: One line of text" in made["Format"]["description"]


def test_a_secret_is_shown_as_a_password(schemas: Schemas) -> None:
    body = schemas.request(CONTRACTS.messages["acme.users.v1.CreateUserRequest"], frozenset())
    assert body["properties"]["password"]["format"] == "password"
    assert body["properties"]["email"]["format"] == "email"


def test_what_may_be_left_out_may_be_empty(schemas: Schemas) -> None:
    body = schemas.request(CONTRACTS.messages["acme.projects.v1.CreateProjectRequest"], frozenset())
    assert body["properties"]["organization_id"]["pattern"].startswith("^$|^org_")


@pytest.mark.parametrize(
    ("schema", "rules", "keyword"),
    [
        ({"type": "string"}, Rules(required=True), {"minLength": 1}),
        ({"type": "string"}, Rules(min_length=2, max_length=5), {"minLength": 2, "maxLength": 5}),
        ({"type": "string"}, Rules(max_bytes=9), {"maxLength": 9}),
        ({"type": "string"}, Rules(pattern="a|b"), {"pattern": "^(?:a|b)$"}),
        ({"type": "integer"}, Rules(minimum=0, maximum=9), {"minimum": 0, "maximum": 9}),
        ({"type": "array", "items": {"type": "string"}}, Rules(max_items=3), {"maxItems": 3}),
        (
            {"type": "array", "items": {"type": "string"}},
            Rules(values=Rules(max_length=3)),
            {"items": {"type": "string", "maxLength": 3}},
        ),
    ],
)
def test_a_rule_is_a_keyword(schema: dict[str, Any], rules: Rules, keyword: dict[str, Any]) -> None:
    assert _ruled(schema, rules) == {**schema, **keyword}
