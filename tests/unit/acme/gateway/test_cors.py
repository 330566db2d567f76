"""Who may call from a page, over real HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from acme.gateway.settings import CorsSettings
from tests.unit.acme.gateway.rig import ID, Answer, Rig, running

ONE = f"/v1/projects/{ID}"
APP, OTHER = "https://app.example", "http://localhost:3000"


@pytest.fixture(scope="module")
async def open_to_app() -> AsyncIterator[Rig]:
    async with running(cors=CorsSettings(origins=(APP, OTHER), max_age=60)) as rig:
        yield rig


async def preflight(rig: Rig, path: str, origin: str = APP, method: str = "PATCH", **more: str) -> Answer:
    asked = {"Origin": origin, "Access_Control_Request_Method": method, **more}
    return await rig.ask("OPTIONS", path, bearer=None, **asked)


def names(value: str) -> set[str]:
    return set(value.split(", "))


def of_cors(answer: Answer) -> set[str]:
    return {name for name in answer.headers if name.startswith("access-control")}


async def test_a_preflight_is_answered_before_authentication_and_by_no_service(open_to_app: Rig) -> None:
    open_to_app.projects.requests.clear()
    answer = await preflight(open_to_app, ONE)
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == APP
    assert answer.headers["access-control-max-age"] == "60"
    assert answer.headers["vary"] == "Origin"
    assert "access-control-allow-credentials" not in answer.headers
    assert open_to_app.projects.requests == []


async def test_methods_and_headers_are_those_of_the_contracts_for_the_path(open_to_app: Rig) -> None:
    of_one, of_all = await preflight(open_to_app, ONE), await preflight(open_to_app, "/v1/sessions", method="POST")
    assert names(of_one.headers["access-control-allow-methods"]) == {"GET", "HEAD", "PATCH", "DELETE"}
    always = {"X-Request-Id", "X-Request-Timeout", "traceparent"}
    assert names(of_one.headers["access-control-allow-headers"]) == always | {
        "Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match"
    }  # fmt: skip
    assert names(of_all.headers["access-control-allow-methods"]) >= {"POST"}
    assert names(of_all.headers["access-control-allow-headers"]) >= always | {"Content-Type", "Authorization"}
    fixed = await preflight(open_to_app, "/healthz", method="GET")
    assert names(fixed.headers["access-control-allow-headers"]) == always


async def test_every_answer_may_be_read_by_the_page_with_the_headers_that_matter(open_to_app: Rig) -> None:
    answers = [
        await open_to_app.ask("GET", ONE, Origin=APP),
        await open_to_app.ask("GET", ONE, Origin=OTHER, bearer=None),
        await open_to_app.ask("GET", "/nowhere", Origin=APP),
        await open_to_app.ask("PUT", ONE, Origin=APP),
        await open_to_app.ask("GET", "/healthz", Origin=APP),
    ]
    assert [answer.status for answer in answers] == [200, 401, 404, 405, 200]
    origins = [answer.headers["access-control-allow-origin"] for answer in answers]
    assert origins == [APP, OTHER, APP, APP, APP]
    for answer in answers:
        assert answer.headers["vary"] == "Origin"
        assert names(answer.headers["access-control-expose-headers"]) >= {
            "ETag", "RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-Id"
        }  # fmt: skip


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "https://app.example.evil.example",
        "https://evilapp.example",
        "https://app.example:8443",
        "http://app.example",
        "https://APP.example",
        "https://app.example/",
        "null",
        "",
        "*",
    ],
)
async def test_another_origin_gets_nothing(open_to_app: Rig, origin: str) -> None:
    refused, answered = await preflight(open_to_app, ONE, origin), await open_to_app.ask("GET", ONE, Origin=origin)
    assert (refused.status, answered.status) == (204, 200)
    assert of_cors(refused) == of_cors(answered) == set()
    assert refused.headers["vary"] == answered.headers["vary"] == "Origin", "caches must not mix it up with others'"


async def test_two_origins_are_none(open_to_app: Rig) -> None:
    request = open_to_app.request("GET", ONE, Origin=APP).replace(b"Origin:", b"Origin: x\r\nOrigin:")
    assert of_cors(await open_to_app.raw(request)) == set()


async def test_without_an_origin_there_is_only_vary(open_to_app: Rig) -> None:
    answer = await open_to_app.ask("GET", ONE)
    assert of_cors(answer) == set()
    assert answer.headers["vary"] == "Origin"


async def test_options_on_an_unknown_route_is_404(open_to_app: Rig) -> None:
    (await preflight(open_to_app, "/v1/nowhere")).problem(404, "route_not_found")


async def test_options_that_are_no_preflight_are_405(open_to_app: Rig) -> None:
    assert (await open_to_app.ask("OPTIONS", ONE, Origin=APP)).status == 405
    assert (await open_to_app.ask("OPTIONS", ONE, Access_Control_Request_Method="GET")).status == 405


async def test_any_origin_means_a_star_and_nothing_that_varies() -> None:
    async with running(cors=CorsSettings(origins=("*",))) as rig:
        for answer in (await preflight(rig, ONE, "https://anywhere.example"), await rig.ask("GET", ONE, Origin="null")):
            assert answer.headers["access-control-allow-origin"] == "*"
            assert "vary" not in answer.headers


async def test_what_cannot_be_read_as_a_request_is_answered_where_there_is_cors_too(open_to_app: Rig) -> None:
    (await open_to_app.raw(b"nonsense\r\n\r\n")).problem(400, "malformed_request")


async def test_credentials_are_allowed_where_that_is_set() -> None:
    async with running(cors=CorsSettings(origins=(APP,), credentials=True)) as rig:
        for answer in (await preflight(rig, ONE), await rig.ask("GET", ONE, Origin=APP)):
            assert answer.headers["access-control-allow-credentials"] == "true"


async def test_with_no_origins_there_is_no_cors(rig: Rig) -> None:
    assert (await preflight(rig, ONE)).status == 405
    answer = await rig.ask("GET", ONE, Origin=APP)
    assert of_cors(answer) == set()
    assert "vary" not in answer.headers
