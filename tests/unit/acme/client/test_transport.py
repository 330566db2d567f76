"""Requests are repeated where that is safe, and nowhere else. Over real HTTP, to a server that follows a script."""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from acme.client.problems import Problem, Unreachable
from acme.client.transport import Answer, Request, Transport
from tests.certificates import Authority
from tests.handshakes import believer

Step = Callable[[web.Request], web.StreamResponse]


class Script:
    """A server that answers as it is told, the last way again and again."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.seen: list[web.Request] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request)
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        return step(request)


def says(status: int, code: str = "", **headers: str) -> Step:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda request: web.json_response({"code": code}, status=status, headers=named)


def hangs_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


@pytest.fixture
async def script() -> AsyncIterator[tuple[Script, str]]:
    made = Script()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.handle)
    async with TestServer(app) as server:
        yield made, str(server.make_url("/"))


async def send(script: tuple[Script, str], *steps: Step, repeatable: bool = True, timeout: float = 10.0) -> Answer:
    made, origin = script
    made.steps = list(steps)
    transport = Transport(origin, timeout=timeout, attempts=4, connections=4)
    try:
        request = Request("POST", "/v1/x", {"Idempotency-Key": "k"}, b"{}", repeatable)
        return await transport.send(request, "Bearer t")
    finally:
        await transport.close()


async def test_an_answer_is_returned(script: tuple[Script, str]) -> None:
    assert (await send(script, says(201, "made"))).body == b'{"code": "made"}'
    (request,) = script[0].seen
    assert request.headers["Authorization"] == "Bearer t"
    assert 0 < float(request.headers["X-Request-Timeout"]) <= 10


@pytest.mark.parametrize(
    "step", [says(503), says(502), says(504), says(429), hangs_up, says(409, "idempotency_in_flight")]
)
async def test_what_can_be_repeated_is_repeated_with_the_same_key(script: tuple[Script, str], step: Step) -> None:
    await send(script, step, step, says(200))
    assert [request.headers["Idempotency-Key"] for request in script[0].seen] == ["k", "k", "k"]


@pytest.mark.parametrize(("step", "error"), [(says(503), Problem), (hangs_up, Unreachable)])
async def test_what_cannot_be_repeated_is_sent_once(
    script: tuple[Script, str], step: Step, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await send(script, step, says(200), repeatable=False)
    assert len(script[0].seen) == 1


async def test_429_says_that_nothing_was_done_so_anything_is_repeated(script: tuple[Script, str]) -> None:
    await send(script, says(429), says(200), repeatable=False)
    assert len(script[0].seen) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 412, 422, 500])
async def test_a_refusal_is_not_repeated(script: tuple[Script, str], status: int) -> None:
    with pytest.raises(Problem) as caught:
        await send(script, says(status, "no"))
    assert (caught.value.status, caught.value.code) == (status, "no")
    assert len(script[0].seen) == 1


async def test_it_gives_up_after_four_attempts(script: tuple[Script, str]) -> None:
    with pytest.raises(Problem):
        await send(script, says(503))
    assert len(script[0].seen) == 4


async def test_retry_after_is_waited_for_when_there_is_time_for_it(script: tuple[Script, str]) -> None:
    begun = time.monotonic()
    await send(script, says(429, Retry_After="1"), says(200))
    assert time.monotonic() - begun >= 1
    with pytest.raises(Problem) as caught:
        await send(script, says(429, Retry_After="60"), says(200))
    assert caught.value.retry_after == 60


async def test_no_answer_in_time_is_none(script: tuple[Script, str]) -> None:
    transport = Transport("http://127.0.0.1:1", timeout=0.3, attempts=4, connections=4)
    with pytest.raises(Unreachable, match=r"http://127\.0\.0\.1:1"):
        await transport.send(Request("GET", "/", {}, None, True), "")
    await transport.close()


async def test_over_https_who_is_believed_and_what_is_shown_is_up_to_the_caller(tmp_path: Path) -> None:
    authority = Authority()
    own, mine = authority.issue(tmp_path / "server", "localhost"), authority.issue(tmp_path / "mine", "machine.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own["certificate"], own["key"])
    context.load_verify_locations(own["authority"])
    context.verify_mode = ssl.CERT_REQUIRED
    believing = believer(authority.pem, check_name=True)
    believing.load_cert_chain(mine["certificate"], mine["key"])
    script = Script()
    script.steps = [says(200)]
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", script.handle)
    server = TestServer(application, scheme="https")
    await server.start_server(ssl=context)
    origin = f"https://localhost:{server.port}"
    try:
        for tls, answered in ((believing, True), (None, False)):
            transport = Transport(origin, timeout=5.0, attempts=1, connections=1, tls=tls)
            try:
                body = (await transport.send(Request("GET", "/", {}, b"", False), "")).body
            except Unreachable:
                body = b""
            finally:
                await transport.close()
            assert (body != b"") is answered
    finally:
        await server.close()
