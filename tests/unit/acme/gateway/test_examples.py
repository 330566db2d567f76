"""What the document shows as an example is what the gateway takes, and what it gives."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode
from uuid import UUID

import pytest
from multidict import CIMultiDict, CIMultiDictProxy
from openapi_schema_validator import OAS31Validator

from acme.codec.json import Json
from acme.codec.rules import Checks
from acme.codec.wire import Wire
from acme.contract import Contracts, Field, Message, Method, Route, Rules
from acme.dispatch import Directory, Pipeline
from acme.drivers.clock import SystemClock
from acme.errors import Code
from acme.gateway.binding import Bound, given, taken, unfit
from acme.gateway.examples import NOTHING, Examples, identifier
from acme.gateway.openapi import document
from acme.gateway.problems import STATUS, TITLES
from acme.gateway.settings import GatewaySettings
from acme.ids import is_id
from acme.telemetry import Metrics
from tests.unit.acme.gateway.rig import CONTRACTS

VARIABLE = re.compile(r"\{([^{}=]+)(?:=\*)?\}")
JSON = Json(CONTRACTS)
WIRE = Wire(CONTRACTS)
CHECKS = Checks(CONTRACTS)
DIRECTORY = Directory(Pipeline(CONTRACTS, WIRE, CHECKS, Metrics(), SystemClock())).named("gateway")
SPEC = document(CONTRACTS.services.values(), GatewaySettings(), "Acme Platform", "0.1.0")
SERVED = [
    pytest.param(method, route, id=f"{route.verb} {route.template}")
    for service in CONTRACTS.services.values()
    for method in service.methods
    for route in method.routes
    if not unfit(method, route)
]


def operation(route: Route) -> dict[str, Any]:
    found: dict[str, Any] = SPEC["paths"][VARIABLE.sub(r"{\1}", route.template)][route.verb.lower()]
    return found


def parameters(route: Route, place: str) -> dict[str, Any]:
    """Examples of the operation's own parameters in one place."""
    own = [parameter for parameter in operation(route)["parameters"] if parameter.get("in") == place]
    return {parameter["name"]: parameter["example"] for parameter in own if "example" in parameter}


def shown() -> Iterator[tuple[str, dict[str, Any]]]:
    """Everything in the document that has a schema and an example, with where it is."""

    def walk(node: Any, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
        if isinstance(node, dict):
            if "schema" in node and "example" in node:
                yield where, node
            for key, inner in node.items():
                if key not in ("example", "schema"):
                    yield from walk(inner, f"{where}/{key}")
        elif isinstance(node, list):
            for index, inner in enumerate(node):
                yield from walk(inner, f"{where}/{index}")

    return walk(SPEC, "")


@pytest.mark.parametrize(("method", "route"), SERVED)
def test_the_example_of_a_request_is_taken_without_a_fault(method: Method, route: Route) -> None:
    names = VARIABLE.findall(route.template)
    bound = Bound(method, route, names, None, DIRECTORY, JSON, WIRE)
    said = operation(route)
    path = parameters(route, "path")
    assert path.keys() == set(names)
    headers = CIMultiDict(parameters(route, "header"))
    body = b""
    if route.body and not taken(method, route):
        body = json.dumps(said["requestBody"]["content"]["application/json"]["example"]).encode()
    query = urlencode(parameters(route, "query"), doseq=True).replace("=True", "=true").replace("=False", "=false")
    message = bound.request([quote(str(path[name])) for name in names], query, CIMultiDictProxy(headers), body)
    check = CHECKS.check(method.request)
    assert check is None or check(message) == ()


@pytest.mark.parametrize(("method", "route"), SERVED)
def test_the_example_of_a_reply_is_what_the_encoder_gives_for_it(method: Method, route: Route) -> None:
    success = operation(route)["responses"][str(method.success_status)]
    if method.success_status == 204 or given(method) is not None:
        assert "example" not in success.get("content", {}).get("application/json", {})
        return
    example = success["content"]["application/json"]["example"]
    message = JSON.decoder(method.reply)(json.dumps(example).encode())
    assert json.loads(JSON.encoder(method.reply)(message)) == example


def test_every_example_keeps_to_its_schema() -> None:
    examples = dict(shown())
    assert len(examples) > 200
    wrong = {
        where: str(error.message)
        for where, node in examples.items()
        for error in OAS31Validator({**node["schema"], "components": SPEC["components"]}).iter_errors(node["example"])
    }
    assert wrong == {}


def test_no_text_of_our_own_contracts_is_made_of_the_field_s_name_alone() -> None:
    """Such as "display name": a reader learns nothing from it, and the contract can give a better one."""
    poor = re.compile(r"[a-z]+( [a-z]+)*|example")
    found = {f"{name}: {value}" for _, node in shown() for name, value in texts(node["example"]) if value == name}
    assert {each for each in found if poor.fullmatch(each)} == set()


def texts(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Every text in an example, with the name of its field in words."""
    match value:
        case dict():
            for key, inner in value.items():
                yield from texts(inner, str(key).replace("_", " "))
        case list():
            for inner in value:
                yield from texts(inner, name)
        case str():
            yield name, value


@pytest.mark.parametrize("status", [int(status) for status in SPEC["components"]["responses"] if int(status) >= 400])
def test_every_refusal_has_its_problem(status: int) -> None:
    example = SPEC["components"]["responses"][str(status)]["content"]["application/problem+json"]["example"]
    assert (example["status"], example["title"]) == (status, TITLES[status])
    assert ("errors" in example) == (status == STATUS[Code.INVALID])


def test_the_same_contract_gives_the_same_examples() -> None:
    again = document(CONTRACTS.services.values(), GatewaySettings(), "Acme Platform", "0.1.0")
    assert again == SPEC


def test_an_id_is_a_uuid_of_version_7_and_each_type_has_its_own() -> None:
    assert is_id(identifier("prj"), "prj")
    number = 0
    for letter in identifier("prj").removeprefix("prj_"):
        number = number << 5 | "0123456789abcdefghjkmnpqrstvwxyz".index(letter)
    made = UUID(int=number)
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert identifier("prj").partition("_")[2] != identifier("org").partition("_")[2]


def test_a_contract_without_examples_has_valid_ones_too(trial: Contracts) -> None:
    """Every type and every rule."""
    service = trial.services["trial.v1.Trials"]
    examples, codec, checks = Examples([service]), Json(trial), Checks(trial)
    for method in service.methods:
        request = method.request
        elsewhere = frozenset({request.mask, *(field.name for field in request.fields if field.header)})
        example = examples.body(method, Route("POST", "/", "*"), elsewhere)
        message = codec.decoder(request)(json.dumps(example).encode())
        for field in request.fields:  # from elsewhere
            if field.condition or (field.header and field.name in elsewhere):
                setattr(message, field.attr, 1)
        check = checks.check(request)
        assert check is None or check(message) == ()
        reply = examples.reply(method)
        assert json.loads(codec.encoder(method.reply)(codec.decoder(method.reply)(json.dumps(reply).encode()))) == reply


def test_what_can_only_be_wrong_is_left_out_with_all_that_needs_it(trial: Contracts) -> None:
    examples = Examples(trial.services.values())
    ruled = trial.messages["trial.v1.Ruled"]
    pattern = next(field for field in ruled.fields if field.name == "pattern")
    unmatched = replace(pattern, rules=Rules(pattern="[0-9]{40}"))
    assert examples.value(unmatched, ruled, taken=True) is NOTHING
    assert examples.value(pattern, ruled, taken=True) == "a"
    assert examples.value(replace(pattern, example='"abc"'), ruled, taken=True) == "abc"
    assert examples.value(replace(pattern, example="null"), ruled, taken=True) is NOTHING
    needs = replace(unmatched, rules=Rules(pattern="[0-9]{40}", required=True))
    assert examples.body(taking(ruled, needs), Route("POST", "/", "*"), frozenset()) is NOTHING
    assert examples.body(taking(ruled, unmatched), Route("POST", "/", "*"), frozenset()) == {}


def taking(message: Message, field: Field) -> Method:
    """A method whose request holds one field."""
    (method,) = (m for m in CONTRACTS.services["acme.projects.v1.Projects"].methods if m.name == "CreateProject")
    return replace(method, request=replace(message, fields=(field,)))
