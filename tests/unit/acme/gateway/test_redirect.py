"""Plain HTTP that says where HTTPS is: the same path and query, for hosts that are ours, and nothing for others."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from acme.gateway.headers import RequestIds
from acme.gateway.peers import Peers
from acme.gateway.redirect import Redirect
from acme.gateway.server import Server
from acme.gateway.settings import GatewaySettings
from acme.telemetry import Metrics
from tests.unit.acme.gateway.rig import Answer, Connection

OURS = {"api.example": "https://api.example", "127.0.0.1": "https://127.0.0.1:8443", "::1": "https://[::1]:8443"}


class Town:
    """A redirect on a port."""

    def __init__(self, port: int, metrics: Metrics) -> None:
        self.port, self.metrics = port, metrics

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield Connection(reader, writer)
        finally:
            writer.transport.abort()

    async def ask(self, request: str) -> Answer:
        async with self.connection() as connection:
            connection.send(request.encode())
            return await connection.answer()


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    metrics, settings = Metrics(), GatewaySettings()
    redirect = Redirect(lambda host: OURS.get(host, ""), metrics.counter("redirects", "…", ("status",)), 10.0)
    server = Server(redirect.serve, redirect.refuse, settings, Peers(metrics), RequestIds().new)
    listener = socket.create_server(("127.0.0.1", 0))
    accepting = await asyncio.get_running_loop().create_server(server, sock=listener)
    try:
        yield Town(listener.getsockname()[1], metrics)
    finally:
        accepting.close()
        await server.shutdown(0.1)


@pytest.mark.parametrize(
    ("request_line", "host", "location"),
    [
        ("GET / HTTP/1.1", "api.example", "https://api.example/"),
        ("GET /v1/projects?a=1&b=%2F HTTP/1.1", "api.example:80", "https://api.example/v1/projects?a=1&b=%2F"),
        ("GET /a/../b//c%2e HTTP/1.1", "api.example", "https://api.example/a/../b//c%2e"),
        ("DELETE /x HTTP/1.1", "127.0.0.1:8080", "https://127.0.0.1:8443/x"),
        ("GET /x HTTP/1.1", "[::1]:8080", "https://[::1]:8443/x"),
        ("GET http://api.example/x?y HTTP/1.1", "127.0.0.1", "https://api.example/x?y"),
        ("GET //evil.example/ HTTP/1.1", "api.example", "https://api.example//evil.example/"),
        ("GET /x HTTP/1.0", "api.example", "https://api.example/x"),
    ],
)
async def test_a_request_is_sent_to_the_same_place_over_https(
    town: Town, request_line: str, host: str, location: str
) -> None:
    answer = await town.ask(f"{request_line}\r\nHost: {host}\r\n\r\n")
    assert (answer.status, answer.headers["location"], answer.body) == (308, location, b"")
    assert answer.headers["content-length"] == "0"


@pytest.mark.parametrize(
    ("request_line", "host", "status", "code"),
    [
        ("GET / HTTP/1.1", "evil.example", 421, "misdirected"),
        ("GET / HTTP/1.1", "api.example.evil.example", 421, "misdirected"),
        ("GET / HTTP/1.1", "api.example@evil.example", 400, "malformed_host"),
        ("GET / HTTP/1.1", "api.example/evil.example", 400, "malformed_host"),
        ("GET / HTTP/1.1", "api.example evil", 400, "malformed_host"),
        ("GET http://evil.example/ HTTP/1.1", "api.example", 421, "misdirected"),
        ("GET http://evil.example@api.example/ HTTP/1.1", "api.example", 421, "misdirected"),
        ("GET /ü HTTP/1.1", "api.example", 400, "malformed_request"),
        ("OPTIONS * HTTP/1.1", "api.example", 421, "misdirected"),
    ],
)
async def test_what_is_not_for_our_hosts_is_sent_nowhere(
    town: Town, request_line: str, host: str, status: int, code: str
) -> None:
    answer = await town.ask(f"{request_line}\r\nHost: {host}\r\n\r\n")
    assert "location" not in answer.headers
    answer.problem(status, code)


async def test_a_request_without_a_host_is_sent_nowhere(town: Town) -> None:
    (await town.ask("GET / HTTP/1.0\r\n\r\n")).problem(421, "misdirected")


async def test_a_body_is_not_read_and_its_connection_ends(town: Town) -> None:
    async with town.connection() as connection:
        connection.send(b"POST /x HTTP/1.1\r\nHost: api.example\r\nContent-Length: 1000\r\n\r\n")
        answer = await connection.answer()
        assert (answer.status, answer.headers["connection"]) == (308, "close")


async def test_requests_follow_each_other_on_a_connection(town: Town) -> None:
    async with town.connection() as connection:
        for path in ("/a", "/b"):
            connection.send(f"GET {path} HTTP/1.1\r\nHost: api.example\r\n\r\n".encode())
            assert (await connection.answer()).headers["location"] == f"https://api.example{path}"


async def test_nothing_is_said_of_https_over_plain_http(town: Town) -> None:
    answer = await town.ask("GET / HTTP/1.1\r\nHost: api.example\r\n\r\n")
    assert "strict-transport-security" not in answer.headers  # RFC 6797, section 7.2


async def test_what_is_no_request_is_refused_as_a_problem(town: Town) -> None:
    (await town.ask("nonsense\r\n\r\n")).problem(400, "malformed_request")


async def test_answers_are_counted_by_status(town: Town) -> None:
    await town.ask("GET / HTTP/1.1\r\nHost: api.example\r\n\r\n")
    await town.ask("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n")
    lines = town.metrics.render().decode().splitlines()
    assert {'redirects_total{status="308"} 1.0', 'redirects_total{status="421"} 1.0'} <= {
        line.replace("redirects{", "redirects_total{") for line in lines
    }
