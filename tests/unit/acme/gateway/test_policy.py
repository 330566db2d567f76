"""What holds for a method is what its contract says, unless the settings say otherwise."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from acme.contract import Cache, Method, load
from acme.gateway.policy import check, declared
from acme.gateway.settings import ClassSettings, CorsSettings, GatewaySettings, LimitSettings
from tests.unit.acme.gateway.rig import ID, Answer, running

CONTRACTS = load("acme.contracts")
GET, LIST = "acme.projects.v1.Projects/GetProject", "acme.projects.v1.Projects/ListProjects"
CREATE, LOG_IN = "acme.projects.v1.Projects/CreateProject", "acme.users.v1.Sessions/CreateSession"


def settings(**routes: Any) -> GatewaySettings:
    return msgspec.convert({"routes": routes}, GatewaySettings)


def method(path: str) -> Method:
    service = CONTRACTS.services[path.partition("/")[0]]
    return next(method for method in service.methods if method.path[1:] == path)


def test_what_settings_do_not_say_is_as_the_contract_says() -> None:
    said = replace(method(GET), timeout=2.0, cost=3, cache=Cache(9))
    assert declared(said, settings()) is said
    changed = declared(said, settings(**{GET: {"rate_class": "heavy"}}))
    assert (changed.timeout, changed.cost, changed.rate_class, changed.cache) == (2.0, 3, "heavy", Cache(9))


def test_settings_stand_in_the_place_of_the_contract() -> None:
    said = replace(method(GET), timeout=2.0, cost=3, cache=Cache(9, shared=True))
    changed = declared(said, settings(**{GET: {"timeout": 5, "cost": 2, "cache": 60}}))
    assert (changed.timeout, changed.cost, changed.cache) == (5.0, 2, Cache(60, shared=True))
    assert declared(said, settings(**{GET: {"cache": 0}})).cache is None


@pytest.mark.parametrize(
    ("name", "own", "fault"),
    [
        ("acme.projects.v1.Projects/Nothing", {"cost": 2}, "there is no such method with a route"),
        ("acme.authority.v1.Authority/Changes", {"cost": 2}, "there is no such method with a route"),
        (CREATE, {"cache": 5}, "only the answer to a GET is kept"),
        (LOG_IN, {"cache": 5}, "none that holds a secret"),
        (CREATE, {"max_body": 2**23}, "at most 4194304, since the body is held in memory"),
    ],
)
def test_settings_that_cannot_be_of_a_method_are_refused(name: str, own: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault) as refused:
        check(CONTRACTS.services.values(), settings(**{name: own}))
    assert str(refused.value).startswith(f"routes.{name}")


@pytest.mark.parametrize(
    "own", [{"timeout": 0}, {"cost": 0}, {"cost": 1001}, {"cache": -1}, {"max_body": 10}, {"rate_class": ""}, {"x": 1}]
)
def test_a_value_that_makes_no_sense_is_refused(own: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        settings(**{GET: own})


async def test_an_answer_that_may_be_kept_says_for_how_long_and_for_whom() -> None:
    async with running(routes=settings(**{GET: {"cache": 60}}).routes) as rig:
        answer = await rig.ask("GET", f"/v1/projects/{ID}")
        assert answer.headers["cache-control"] == "private, max-age=60"
        assert answer.headers["vary"] == "Authorization"
        again = await rig.ask("GET", f"/v1/projects/{ID}", If_None_Match=answer.headers["etag"])
        assert (again.status, again.headers["cache-control"]) == (304, "private, max-age=60")
        refused = await rig.ask("GET", "/v1/projects/prj_01h455vb4pex5vsknk084sn02r")
        assert (refused.status, refused.headers["cache-control"]) == (404, "no-store")
        other = await rig.ask("GET", "/v1/projects")
        assert other.headers["cache-control"] == "no-store"


async def test_a_body_is_measured_by_what_its_route_allows() -> None:
    routes = settings(**{CREATE: {"max_body": 1024}}).routes
    async with running(routes=routes) as rig:
        answer = await rig.ask("POST", "/v1/projects", {"name": "x" * 2000})
        assert (answer.status, answer.json["detail"]) == (413, "The body may have at most 1024 bytes.")
        other = await rig.ask("PATCH", f"/v1/projects/{ID}", {"description": "x" * 2000})
        assert other.status == 200


async def test_a_request_has_the_time_of_its_route_and_its_client_may_ask_for_another() -> None:
    routes = settings(**{GET: {"timeout": 2.0}, LIST: {"timeout": 90.0}}).routes
    async with running(routes=routes) as rig:
        for path, asked, seconds in (
            (f"/v1/projects/{ID}", {}, 2.0),
            (f"/v1/projects/{ID}", {"X_Request_Timeout": "30"}, 30.0),
            (f"/v1/projects/{ID}", {"X_Request_Timeout": "70"}, 60.0),
            ("/v1/projects", {}, 90.0),
            ("/v1/projects", {"X_Request_Timeout": "100"}, 90.0),
        ):
            rig.projects.calls.clear()
            before = time.monotonic()
            await rig.ask("GET", path, **asked)
            (call,) = rig.projects.calls
            assert before + seconds <= call.deadline <= time.monotonic() + seconds, (path, asked)


async def test_other_settings_hold_from_one_request_to_the_next_on_the_same_connection() -> None:
    async with running() as rig, rig.connection() as connection:

        async def ask(method: str, path: str, body: Any = None, **headers: str) -> Answer:
            connection.send(rig.request(method, path, body, **headers))
            return await connection.answer()

        assert (await ask("GET", "/docs")).status == 200
        assert (await ask("GET", "/", Origin="https://a.example")).headers.get("access-control-allow-origin") is None
        new = settings(**{GET: {"cache": 9}, CREATE: {"max_body": 1024}})
        cors, credentials = CorsSettings(origins=("https://a.example",)), rig.gateway._settings.limits.credentials
        few = LimitSettings(default=ClassSettings(burst=7), credentials=credentials)
        new = msgspec.structs.replace(new, docs=False, access_log=False, cors=cors, limits=few, timeout=3.0)
        logged = len(rig.lines())
        rig.gateway.prepare(new)()
        assert (await ask("GET", "/docs")).status == 404
        answer = await ask("GET", "/v1/projects", Origin="https://a.example")
        assert answer.headers["access-control-allow-origin"] == "https://a.example"
        assert answer.headers["ratelimit-policy"].startswith('"default";q=7')
        assert rig.projects.calls[-1].deadline <= time.monotonic() + 3
        assert (await ask("POST", "/v1/projects", {"name": "x" * 2000})).status == 413
        document = (await ask("GET", "/v1/openapi.json")).json
        assert "Cache-Control" in document["paths"]["/v1/projects/{id}"]["get"]["responses"]["200"]["headers"]
        assert len(rig.lines()) == logged
        rig.gateway.prepare(GatewaySettings())()
        assert (await ask("GET", "/docs")).status == 200
        assert len(rig.lines()) == logged + 1


async def test_settings_that_do_not_fit_the_services_change_nothing() -> None:
    async with running() as rig:
        before = rig.gateway._settings
        with pytest.raises(ValueError, match="no such method"):
            rig.gateway.prepare(settings(**{"no.Such/Method": {"cost": 2}}))
        assert rig.gateway._settings is before


async def test_a_request_under_way_keeps_what_it_was_given() -> None:
    async with running() as rig:
        begun, end = asyncio.Event(), asyncio.Event()

        async def wait(_: Any) -> None:
            begun.set()
            await end.wait()

        rig.projects.before = wait
        asking = asyncio.get_running_loop().create_task(rig.ask("GET", f"/v1/projects/{ID}"))
        await begun.wait()
        rig.gateway.prepare(settings(**{GET: {"cache": 9, "timeout": 0.001}}))()
        end.set()
        answer = await asking
        assert (answer.status, answer.headers["cache-control"]) == (200, "no-store")
