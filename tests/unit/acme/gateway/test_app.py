"""The pipeline as a whole: order, deadlines, disconnects, idempotency keys, log, metrics, drain."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

import pytest

from acme.context import Kind
from acme.contracts.projects.v1 import CreateProjectRequest
from acme.errors import Conflict, Exhausted, Fault, Invalid, Refused, Unavailable
from tests.unit.acme.dispatch.town import until
from tests.unit.acme.gateway.rig import ID, SESSION, Rig, running

ONE = f"/v1/projects/{ID}"


async def test_a_call_carries_what_the_edge_knows(rig: Rig) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await rig.ask(
        "GET", ONE, X_Request_Id="r-7", traceparent=trace, X_Forwarded_For="10.0.0.1", Forwarded="for=10.0.0.1"
    )
    (call,) = rig.projects.calls
    assert (call.request_id, call.service, call.traceparent) == ("r-7", "gateway", trace)
    assert call.address == "127.0.0.1"
    assert call.principal.kind is Kind.USER


async def test_no_header_of_the_client_reaches_an_identity(rig: Rig) -> None:
    names = ("X_Forwarded_User", "X_User_Id", "X_Principal", "X_Real_Ip", "True_Client_Ip", "Remote_User")
    await rig.ask("GET", ONE, **dict.fromkeys(names, "usr_evil"))
    (call,) = rig.projects.calls
    assert "evil" not in repr(call)


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE", "PUT"])
async def test_an_unknown_route_is_404_before_anything_else(rig: Rig, method: str) -> None:
    for path in ("/nowhere", "/v1", "/v1/projects/", "/v2/projects", "/acme.projects.v1.Projects/GetProject"):
        (await rig.ask(method, path, bearer=None)).problem(404, "route_not_found")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/v1/projects", "GET, HEAD, POST"),
        ("PUT", ONE, "DELETE, GET, HEAD, PATCH"),
        ("GET", f"{ONE}:archive", "POST"),
        ("HEAD", f"{ONE}:archive", "POST"),
        ("OPTIONS", "/v1/projects", "GET, HEAD, POST"),
        ("POST", "/healthz", "GET, HEAD"),
    ],
)
async def test_a_wrong_method_is_405_and_says_what_is_allowed(rig: Rig, method: str, path: str, allow: str) -> None:
    answer = await rig.ask(method, path, bearer=None)
    assert answer.status == 405
    assert answer.headers["allow"] == allow
    if method != "HEAD":
        answer.problem(405, "method_not_allowed")


async def test_internal_methods_have_no_route(rig: Rig) -> None:
    (await rig.ask("POST", "/acme.authority.v1.Authority/Keys", {})).problem(404, "route_not_found")


async def test_size_comes_before_the_token_and_the_token_before_the_body(rig: Rig) -> None:
    (await rig.ask("POST", "/v1/projects", b"x" * 2_000_000, bearer="bad")).problem(413, "too_large")
    (await rig.ask("POST", "/v1/projects", b"{", bearer="bad", Content_Type="text/plain")).problem(401, "invalid_token")
    (await rig.ask("POST", "/v1/projects", b"{", Content_Type="text/plain")).problem(415, "unsupported_media_type")


async def test_what_a_service_refuses_is_told_as_it_is(rig: Rig) -> None:
    async def refuse(message: object) -> None:
        raise refusal

    rig.projects.before = refuse
    faults = [Fault("/labels", "odd", "is odd")]
    for refusal, status in (
        (Conflict("It is archived.", reason="archived"), 409),
        (Invalid("No.", reason="odd", faults=faults), 422),
        (Exhausted("Later.", reason="quota", retry_after=7), 429),
        (Unavailable("Later.", reason="busy", retry_after=3), 503),
    ):
        answer = await rig.ask("GET", ONE)
        problem = answer.problem(status, refusal.reason)
        assert problem["detail"] == refusal.message
        if refusal.retry_after is not None:
            assert answer.headers["retry-after"] == str(int(refusal.retry_after))
        if refusal.faults:
            assert problem["errors"] == [{"pointer": "/labels", "code": "odd", "detail": "is odd"}]


# ---- deadlines ------------------------------------------------------------------------------------------------------


async def hang(message: object) -> None:
    await asyncio.Event().wait()


async def test_time_that_is_up_is_504_and_ends_the_call(rig: Rig) -> None:
    ended = asyncio.Event()

    async def until_cancelled(message: object) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    rig.projects.before = until_cancelled
    (await rig.ask("GET", ONE, X_Request_Timeout="0.05")).problem(504, "deadline_exceeded")
    assert ended.is_set()


async def test_after_a_504_the_connection_goes_on(rig: Rig) -> None:
    rig.projects.before = hang
    async with rig.connection() as connection:
        connection.send(rig.request("GET", ONE, X_Request_Timeout="0.02"))
        assert (await connection.answer()).status == 504
        rig.projects.before = None
        connection.send(rig.request("GET", ONE))
        assert (await connection.answer()).status == 200


async def test_the_default_time_holds_for_who_asks_for_none() -> None:
    async with running(timeout=0.05) as rig:
        rig.projects.before = hang
        (await rig.ask("GET", ONE)).problem(504, "deadline_exceeded")


async def test_the_cap_holds_for_who_asks_for_more() -> None:
    async with running(max_timeout=0.05) as rig:
        rig.projects.before = hang
        (await rig.ask("GET", ONE, X_Request_Timeout="30")).problem(504, "deadline_exceeded")


@pytest.mark.parametrize("value", ["", "0", "-1", "soon", "1e9", "nan"])
async def test_a_malformed_timeout_is_400(rig: Rig, value: str) -> None:
    (await rig.ask("GET", ONE, X_Request_Timeout=value)).problem(400, "malformed_timeout")


async def test_a_client_that_goes_cancels_its_call(rig: Rig) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def until_cancelled(message: object) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    rig.projects.before = until_cancelled
    async with rig.connection() as connection:
        connection.send(rig.request("GET", ONE, X_Request_Id="gone"))
        await begun.wait()
    await until(lambda: ended.is_set() and not rig.gateway.in_flight)
    assert [line["status"] for line in rig.lines() if line["request_id"] == "gone"] == [499]


# ---- idempotency ----------------------------------------------------------------------------------------------------


async def test_a_key_travels_with_the_fingerprint_of_the_request(rig: Rig) -> None:
    for body in ({"name": "x"}, {"name": "x", "description": ""}, {"name": "y"}):
        assert (await rig.ask("POST", "/v1/projects", body, Idempotency_Key="k-1")).status == 201
    keys = [call.idempotency for call in rig.projects.calls]
    assert all(key is not None and key.key == "k-1" for key in keys)
    first, same, other = (key.fingerprint for key in keys if key is not None)
    wire = bytes(CreateProjectRequest(name="x"))
    assert first == hashlib.sha256(b"/acme.projects.v1.Projects/CreateProject\0" + wire).digest()
    assert first == same != other


async def test_a_key_on_a_read_means_nothing(rig: Rig) -> None:
    assert (await rig.ask("GET", ONE, Idempotency_Key="k-1")).status == 200
    assert rig.projects.calls[0].idempotency is None


@pytest.mark.parametrize("key", ["", " ", "a b", "é", "x" * 256, "a\tb"])
async def test_a_malformed_key_is_400(rig: Rig, key: str) -> None:
    answer = await rig.ask("POST", "/v1/projects", {"name": "x"}, Idempotency_Key=key)
    answer.problem(400, "malformed_idempotency_key")
    assert rig.projects.requests == []


async def test_two_keys_are_400(rig: Rig) -> None:
    request = rig.request("POST", f"{ONE}:archive", Idempotency_Key="a")
    twice = request.replace(b"\r\n\r\n", b"\r\nIdempotency-Key: b\r\n\r\n")
    (await rig.raw(twice)).problem(400, "malformed_idempotency_key")


# ---- log and metrics ------------------------------------------------------------------------------------------------


async def test_each_request_is_logged_without_its_query(rig: Rig) -> None:
    await rig.ask("GET", "/v1/projects?page_token=secret", X_Request_Id="log-1")
    await rig.ask("GET", ONE, bearer="bad", X_Request_Id="log-2")
    await rig.raw(b"nonsense\r\n\r\n")
    lines = rig.lines()
    first, second, third = lines[-3:]
    assert (first["request_id"], first["path"], first["status"], first["principal"]) == (
        "log-1",
        "/v1/projects",
        200,
        "usr_1",
    )
    assert first["route"] == "/v1/projects"
    assert first["bytes"] > 100
    assert (second["status"], second["principal"], second["route"]) == (401, "", "/v1/projects/{id}")
    assert (third["status"], third["route"]) == (400, "")
    assert "secret" not in json.dumps(lines)


async def test_requests_are_measured_by_method_route_and_status() -> None:
    async with running() as rig:
        for path in (ONE, ONE, "/v1/projects/1", "/nowhere"):
            await rig.ask("GET", path)
        text = (await rig.ask("GET", "/metrics")).body.decode()
        name = "http_server_request_duration_seconds_count"
        label = 'http_request_method="GET",http_response_status_code='
        assert f'{name}{{{label}"200",http_route="/v1/projects/{{id}}",url_scheme="http"}} 2.0' in text
        assert f'{name}{{{label}"422",http_route="/v1/projects/{{id}}",url_scheme="http"}} 1.0' in text
        assert f'{name}{{{label}"404",http_route="",url_scheme="http"}} 1.0' in text
        assert 'http_server_active_requests{http_request_method="GET",url_scheme="http"} 1.0' in text
        assert "acme_token_cache_tokens 3.0" in text


# ---- drain ----------------------------------------------------------------------------------------------------------


async def test_a_drain_lets_requests_in_flight_end_and_takes_no_others() -> None:
    async with running() as rig:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def wait(message: object) -> None:
            begun.set()
            await go_on.wait()

        rig.projects.before = wait
        async with rig.connection() as busy, rig.connection() as idle:
            idle.send(rig.request("GET", "/healthz"))
            assert (await idle.answer()).status == 200
            busy.send(rig.request("GET", ONE))
            await begun.wait()
            drain = asyncio.get_running_loop().create_task(rig.gateway.drain(5))
            assert await idle.closed()
            with pytest.raises(OSError):  # noqa: PT011  refused or reset, as the system likes
                await rig.ask("GET", "/healthz")
            go_on.set()
            answer = await busy.answer()
            assert (answer.status, answer.headers["connection"]) == (200, "close")
            assert await busy.closed()
            await drain


async def test_a_drain_that_gives_notice_serves_on_and_sends_clients_away() -> None:
    async with running() as rig:
        drain = asyncio.get_running_loop().create_task(rig.gateway.drain(5, notice=0.2))
        async with rig.connection() as old:
            old.send(rig.request("GET", "/readyz"))
            answer = await old.answer()
            assert (answer.status, answer.headers["connection"]) == (503, "close")
        assert (await rig.ask("GET", ONE)).status == 200
        assert rig.gateway.in_flight == 0
        await drain
        with pytest.raises(OSError):  # noqa: PT011  refused or reset, as the system likes
            await rig.ask("GET", "/healthz")


async def test_a_drain_ends_at_the_end_of_its_grace() -> None:
    async with running() as rig:
        begun = asyncio.Event()

        async def never(message: object) -> None:
            begun.set()
            await asyncio.Event().wait()

        rig.projects.before = never
        async with rig.connection() as busy:
            busy.send(rig.request("GET", ONE))
            await begun.wait()
            async with asyncio.timeout(5):
                await rig.gateway.drain(0.05)
            assert await busy.closed()
        assert rig.lines()[-1]["status"] == 499


async def test_a_body_on_its_way_survives_the_beginning_of_a_drain() -> None:
    async with running() as rig, rig.connection() as busy:
        request = rig.request("POST", "/v1/projects", {"name": "x"})
        busy.send(request[:-5])
        async with asyncio.timeout(5):
            while not rig.gateway._active:  # noqa: ASYNC110  the gateway has no event for it
                await asyncio.sleep(0.001)
        drain = asyncio.get_running_loop().create_task(rig.gateway.drain(5))
        await asyncio.sleep(0)
        busy.send(request[-5:])
        assert (await busy.answer()).status == 201
        await drain


# ---- both placements ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("placement", ["local", "loopback"])
async def test_answers_are_the_same_in_both_placements(placement: Any) -> None:
    async with running(placement) as rig:
        created = await rig.ask("POST", "/v1/projects", {"name": "x", "labels": {"a": "b"}})
        assert created.json == {
            "id": ID,
            "organization_id": "",
            "owner_id": "",
            "name": "x",
            "description": "",
            "labels": {"a": "b"},
            "archived": False,
            "region": "",
            "version": 1,
        }
        assert (await rig.ask("DELETE", f"/v1/sessions/{SESSION}")).status == 204
        (await rig.ask("GET", f"{ONE[:-1]}z")).problem(404, "not_found")


async def test_a_service_that_is_gone_is_503(rig: Rig) -> None:
    async def gone(message: object) -> None:
        raise Refused("x", code=Unavailable.code, reason="unreachable", retry_after=1)

    rig.projects.before = gone
    answer = await rig.ask("GET", ONE)
    assert answer.status == 503
    assert answer.headers["retry-after"] == "1"
