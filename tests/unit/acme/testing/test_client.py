"""The kit's HTTP client, against a server that echoes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from acme.testing.client import Client


async def echo(request: web.BaseRequest) -> web.StreamResponse:
    if request.path == "/empty":
        return web.Response(status=204)
    body = (await request.read()).decode()
    said = {"method": request.method, "path": request.path_qs, "headers": dict(request.headers), "body": body}
    return web.json_response(said, status=int(request.query.get("status", "200")), headers={"ETag": '"3"'})


@pytest.fixture
async def origin() -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_route("*", "/{rest:.*}", echo)
    async with TestServer(application) as server:
        yield f"http://{server.host}:{server.port}"


async def test_a_client_with_a_token_sends_it_with_every_request(origin: str) -> None:
    async with Client(origin, "abc") as client:
        assert (await client.get("/x")).expect(200)["headers"]["Authorization"] == "Bearer abc"


async def test_a_client_without_a_token_sends_none(origin: str) -> None:
    async with Client(origin) as client:
        assert "Authorization" not in (await client.get("/x")).expect(200)["headers"]


async def test_keywords_of_get_become_the_query(origin: str) -> None:
    async with Client(origin) as client:
        assert (await client.get("/x", page_size=2, page_token="a b")).expect(200)[
            "path"
        ] == "/x?page_size=2&page_token=a+b"


async def test_json_is_sent_as_json_and_bytes_as_they_are(origin: str) -> None:
    async with Client(origin) as client:
        sent = (await client.post("/x", {"name": "é"})).expect(200)
        assert (sent["body"], sent["headers"]["Content-Type"]) == ('{"name": "\\u00e9"}', "application/json")
        raw = (await client.request("PATCH", "/x", body=b"{", headers={"Content-Type": "text/x"})).expect(200)
        assert (raw["method"], raw["body"], raw["headers"]["Content-Type"]) == ("PATCH", "{", "text/x")


async def test_a_reply_shows_status_headers_and_json(origin: str) -> None:
    async with Client(origin) as client:
        reply = await client.patch("/x", {})
        assert (reply.status, reply.headers["etag"], reply.json["method"]) == (200, '"3"', "PATCH")
        empty = await client.delete("/empty")
        assert (empty.status, empty.json) == (204, None)


async def test_an_unexpected_status_fails_with_the_body(origin: str) -> None:
    async with Client(origin) as client:
        reply = await client.get("/x", status=422)
    with pytest.raises(AssertionError, match=r"expected 200, got 422: .*method"):
        reply.expect(200)


async def test_a_closed_client_can_be_closed_again(origin: str) -> None:
    client = Client(origin)
    await client.get("/x")
    await client.close()
    await client.close()
