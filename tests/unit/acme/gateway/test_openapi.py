"""The document is valid, complete, and says what the gateway does."""

from __future__ import annotations

import re
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from acme.contract import Contracts
from acme.gateway.openapi import document
from acme.gateway.settings import GatewaySettings
from tests.unit.acme.gateway.rig import CONTRACTS, Rig


@pytest.fixture(scope="module")
def spec() -> dict[str, Any]:
    return document(CONTRACTS.services.values(), GatewaySettings(), "Acme Platform", "0.1.0")


def test_it_is_valid(spec: dict[str, Any]) -> None:
    assert spec["openapi"] == "3.1.0"
    OpenAPIV31SpecValidator(spec).validate()


def test_it_has_every_route_and_no_other(spec: dict[str, Any]) -> None:
    said = {(verb.upper(), path) for path, item in spec["paths"].items() for verb in item}
    routes = [(r.verb, r.template) for s in CONTRACTS.services.values() for m in s.methods for r in m.routes]
    assert said == set(routes)


def test_comments_and_permissions_come_from_the_contract(spec: dict[str, Any]) -> None:
    operation = spec["paths"]["/v1/projects/{id}"]["patch"]
    assert operation["summary"] == "Changes a project"
    assert "archived project cannot be changed" in operation["description"]
    assert operation["security"] == [{"bearer": ["projects.update"]}]
    assert spec["paths"]["/v1/users"]["post"]["security"] == []
    assert {"Projects", "Users", "Sessions", "Organizations"} <= {tag["name"] for tag in spec["tags"]}


def test_what_comes_from_path_and_headers_is_no_part_of_the_body(spec: dict[str, Any]) -> None:
    operation = spec["paths"]["/v1/projects/{id}"]["patch"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    assert schema["properties"].keys() == {"name", "description", "labels"}
    assert schema["additionalProperties"] is False
    named = {parameter["name"]: parameter for parameter in operation["parameters"] if "name" in parameter}
    assert named.keys() == {"id", "If-Match"}
    assert named["id"]["schema"]["pattern"].startswith("^prj_")
    assert re.fullmatch(named["If-Match"]["schema"]["pattern"][1:-1], '"7"')


def test_rules_are_keywords(spec: dict[str, Any]) -> None:
    body = spec["paths"]["/v1/projects"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["required"] == ["name"]
    assert (body["properties"]["name"]["minLength"], body["properties"]["name"]["maxLength"]) == (1, 100)
    assert body["properties"]["labels"]["maxProperties"] == 64
    assert body["properties"]["labels"]["propertyNames"]["pattern"] == "^(?:[a-z][a-z0-9_-]{0,62})$"


def test_a_key_is_offered_where_it_means_something(spec: dict[str, Any]) -> None:
    def offers(path: str, verb: str) -> bool:
        return "Idempotency-Key" in str(spec["paths"][path][verb]["parameters"])

    assert offers("/v1/projects", "post")
    assert offers("/v1/sessions/{id}", "delete")
    assert not offers("/v1/projects", "get")
    assert not offers("/v1/sessions", "post")  # public, and its reply is a secret


def test_a_stream_of_messages_is_a_stream_of_events(trial: Contracts) -> None:
    spec = document([trial.services["blobs.v1.Blobs"]], GatewaySettings(), "Trial", "1")
    OpenAPIV31SpecValidator(spec).validate()
    operation = spec["paths"]["/v1/ticks"]["get"]
    success = operation["responses"]["200"]
    content = success["content"]["text/event-stream"]
    assert success["content"].keys() == {"text/event-stream"}
    assert content["x-item-schema"] == {"$ref": "#/components/schemas/Tick"}
    assert content["example"].startswith("data: {")
    assert content["example"].endswith("event: end\ndata: {}\n\n")
    assert "Last-Event-ID" not in success["headers"]
    (parameter,) = [p for p in operation["parameters"] if p.get("name") == "Last-Event-ID"]
    assert parameter["in"] == "header"
    assert not parameter["required"]


def test_a_download_in_parts_says_so(trial: Contracts) -> None:
    paths = document([trial.services["blobs.v1.Blobs"]], GatewaySettings(), "Trial", "1")["paths"]
    operation = paths["/v1/files/{name}"]["get"]
    (parameter,) = [p for p in operation["parameters"] if p.get("name") == "Range"]
    assert re.fullmatch(parameter["schema"]["pattern"], "bytes=0-499")
    assert {"200", "206", "416"} <= operation["responses"].keys()
    assert not {"206", "416"} & paths["/v1/blobs/{name}"]["get"]["responses"].keys()


def test_every_operation_says_how_it_can_fail(spec: dict[str, Any]) -> None:
    for item in spec["paths"].values():
        for operation in item.values():
            assert {"400", "401", "500", "503", "504"} <= operation["responses"].keys()
            if operation["security"]:
                assert "403" in operation["responses"]
            if "requestBody" in operation:
                assert {"408", "413", "415", "422"} <= operation["responses"].keys()
    problem = spec["components"]["responses"]["422"]["content"]["application/problem+json"]["schema"]
    assert problem == {"$ref": "#/components/schemas/Problem"}


def test_an_etag_is_a_header_of_the_answer(spec: dict[str, Any]) -> None:
    assert "ETag" in spec["paths"]["/v1/projects"]["post"]["responses"]["201"]["headers"]
    assert "content" not in spec["paths"]["/v1/sessions/{id}"]["delete"]["responses"]["204"]


def test_who_may_name_a_version_it_has_is_told_of_304(spec: dict[str, Any]) -> None:
    one, many = spec["paths"]["/v1/projects/{id}"], spec["paths"]["/v1/projects"]
    assert "304" in one["get"]["responses"]
    assert "If-None-Match" in str(one["get"]["parameters"])
    assert [verb["responses"].get("304") for verb in (one["patch"], many["get"], many["post"])] == [None] * 3
    assert spec["components"]["responses"]["304"].keys() == {"description", "headers"}


def test_headers_that_are_ignored_when_they_say_nothing_may_say_anything(spec: dict[str, Any]) -> None:
    for name in ("If-None-Match", "X-Request-Id"):
        assert spec["components"]["parameters"][name]["schema"] == {"type": "string"}


def test_a_request_timeout_has_no_exponent_and_is_not_nothing(spec: dict[str, Any]) -> None:
    pattern = spec["components"]["parameters"]["X-Request-Timeout"]["schema"]["pattern"]
    given = ("2.5", "10", "0.000001", "5e-324", "0", "0.00", "-1", "1.")
    assert [text for text in given if re.fullmatch(pattern, text)] == ["2.5", "10", "0.000001"]


def test_every_operation_tells_of_what_is_too_long(spec: dict[str, Any]) -> None:
    answers = [operation["responses"].keys() for path in spec["paths"].values() for operation in path.values()]
    assert all({"413", "414", "431"} <= found for found in answers)


def test_what_cannot_be_left_out_is_required(spec: dict[str, Any]) -> None:
    def body(path: str, verb: str) -> dict[str, Any]:
        schema: dict[str, Any] = spec["paths"][path][verb]["requestBody"]["content"]["application/json"]["schema"]
        return schema

    assert set(body("/v1/tokens", "post")["required"]) == {"name", "scopes", "expires_in_days"}
    assert body("/v1/projects:batchGet", "post")["required"] == ["ids"]
    assert "required" not in body("/v1/projects/{id}", "patch")


def test_a_version_that_is_demanded_is_required_and_its_lack_a_428(spec: dict[str, Any]) -> None:
    settings = spec["paths"]["/v1/projects/{project_id}/settings"]["patch"]
    (given,) = (parameter for parameter in settings["parameters"] if parameter.get("name") == "If-Match")
    assert given["required"]
    assert not re.fullmatch(given["schema"]["pattern"], "*")
    assert {"412", "428"} <= settings["responses"].keys()
    assert "428" not in spec["paths"]["/v1/projects/{id}"]["patch"]["responses"]


def test_what_openapi_has_no_word_for_is_told_too(spec: dict[str, Any]) -> None:
    def told(path: str, verb: str) -> dict[str, Any]:
        return {name: value for name, value in spec["paths"][path][verb].items() if name.startswith("x-")}

    assert told("/v1/projects/{id}:transfer", "post") == {
        "x-role": "owner",
        "x-rate-class": "default",
        "x-step-up": True,
    }
    assert told("/v1/projects/{id}", "get") == {"x-role": "viewer", "x-rate-class": "default", "x-idempotent": True}
    assert told("/v1/sessions", "post") == {"x-rate-class": "credentials", "x-secret-reply": True}


def test_every_answer_of_an_operation_and_429_tell_of_limits(spec: dict[str, Any]) -> None:
    limits = {"RateLimit", "RateLimit-Policy"}
    for item in spec["paths"].values():
        for operation in item.values():
            (success,) = (answer for status, answer in operation["responses"].items() if "headers" in answer)
            assert limits <= success["headers"].keys()
            assert "429" in operation["responses"]
    assert limits | {"Retry-After"} <= spec["components"]["responses"]["429"]["headers"].keys()


async def test_the_gateway_serves_the_routes_it_has(rig: Rig) -> None:
    answer = await rig.ask("GET", "/v1/openapi.json", bearer=None)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("application/vnd.oai.openapi+json")
    assert answer.json["info"]["title"] == "Acme Platform"
    assert "/v1/projects/{id}:archive" in answer.json["paths"]
    assert "/v1/users/me" not in answer.json["paths"]  # nobody hosts it here
