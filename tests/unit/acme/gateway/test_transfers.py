"""Bodies in pieces, over raw sockets: uploads, downloads, and what becomes of those that break off."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from acme.contract import Contracts
from acme.errors import Denied
from acme.gateway import transfers
from tests import blobs
from tests.unit.acme.dispatch.town import until
from tests.unit.acme.gateway.streaming import chunked, head_of, running, to_the_end, unchunked
from tests.waiting import sample


@pytest.fixture(params=["local", "loopback"], name="rig")
async def _rig(request: pytest.FixtureRequest, trial: Contracts) -> AsyncIterator[Any]:
    async with running(trial, request.param) as rig:
        yield rig


def broken(code: str) -> str:
    """The series of downloads that broke off."""
    return f'http_server_broken_downloads_total{{error_type="{code}",http_route="/v1/blobs/{{name}}"}}'


async def test_an_upload_reaches_the_service_in_pieces_with_what_its_head_says(rig: Any) -> None:
    data = bytes(range(256)) * 20_000
    answer = await rig.ask("PUT", "/v1/blobs/one", data, Content_Type="image/png", X_Note="hi")
    assert (answer.status, answer.json) == (
        201,
        {"name": "one", "size": len(data), "content_type": "image/png", "note": "hi"},
    )
    assert rig.projects.digests["one"] == hashlib.sha256(data).hexdigest()
    assert rig.projects.taken > 10


async def test_a_chunked_upload_may_be_as_long_as_it_likes(rig: Any) -> None:
    async with rig.connection() as connection:
        connection.send(rig.request("PUT", "/v1/blobs/two", Transfer_Encoding="chunked", Content_Type="text/plain"))
        for _ in range(30):
            connection.send(chunked(b"x" * 100_000, end=False))
            await connection.writer.drain()
        connection.send(b"0\r\n\r\n")
        assert (await connection.answer()).json["size"] == 3_000_000
        connection.send(rig.request("PUT", "/v1/blobs/two", b""))  # and the connection goes on
        assert (await connection.answer()).json["size"] == 0


async def test_an_upload_without_a_body_is_an_empty_one(rig: Any) -> None:
    answer = await rig.ask("PUT", "/v1/blobs/none")
    assert (answer.status, answer.json["size"], answer.json["name"]) == (201, 0, "none")


async def test_a_client_that_asks_before_it_sends_is_told_to(rig: Any) -> None:
    async with rig.connection() as connection:
        connection.send(rig.request("PUT", "/v1/blobs/a", Content_Length="3", Expect="100-continue"))
        async with asyncio.timeout(5):
            assert await connection.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.send(b"abc")
        assert (await connection.answer()).json["size"] == 3


async def test_a_refusal_answers_an_upload_that_is_still_coming(rig: Any) -> None:
    async def refuse(message: Any) -> None:
        raise Denied("Not you.", reason="not_you")

    rig.projects.hook = refuse
    async with rig.connection() as connection:
        connection.send(rig.request("PUT", "/v1/blobs/a", Content_Length="10000000") + b"x" * 100_000)
        answer = await connection.answer()
        answer.problem(403, "not_you")
        assert answer.headers["connection"] == "close"


@pytest.mark.parametrize("way", ["length", "chunked"])
async def test_an_upload_that_breaks_off_is_no_upload(rig: Any, way: str) -> None:
    headers = {"Content_Length": "1000"} if way == "length" else {"Transfer_Encoding": "chunked"}
    async with rig.connection() as connection:
        connection.send(rig.request("PUT", "/v1/blobs/half", **headers))
        connection.send(b"x" * 10 if way == "length" else chunked(b"x" * 10, end=False))
        await until(lambda: rig.projects.taken == 1)
    await until(lambda: rig.projects.ended == ["CancelledError"])
    assert rig.projects.stored == {}


async def test_a_body_that_is_not_chunked_as_it_says_is_no_upload(trial: Contracts) -> None:
    async with running(trial, body_timeout=0.2) as rig, rig.connection() as connection:
        connection.send(rig.request("PUT", "/v1/blobs/half", Transfer_Encoding="chunked") + chunked(b"x", end=False))
        await until(lambda: rig.projects.taken == 1)
        connection.send(b"nonsense\r\n")
        (await connection.answer()).problem(400, "malformed_body")  # and not only when its time is up
        assert rig.projects.stored == {}


async def test_an_upload_is_limited_announced_or_not(trial: Contracts) -> None:
    async with running(trial, max_upload=500_000) as rig:
        answer = await rig.ask("PUT", "/v1/blobs/a", None, Content_Length="500001")
        answer.problem(413, "too_large")
        assert rig.projects.taken == 0
        async with rig.connection() as connection:
            connection.send(rig.request("PUT", "/v1/blobs/a", Transfer_Encoding="chunked"))
            connection.send(chunked(b"x" * 500_001))
            (await connection.answer()).problem(413, "too_large")
        assert rig.projects.stored == {}
        assert (await rig.ask("PUT", "/v1/blobs/a", b"x" * 500_000)).status == 201


async def test_a_body_that_stops_coming_is_408(trial: Contracts) -> None:
    async with running(trial, body_timeout=0.1) as rig, rig.connection() as connection:
        connection.send(rig.request("PUT", "/v1/blobs/a", Content_Length="100") + b"x")
        (await connection.answer()).problem(408, "slow_body")


@pytest.mark.parametrize(("rate", "status"), [(100_000, 408), (1, 201)])
async def test_an_upload_comes_at_a_least_rate_once_it_has_had_its_time(
    trial: Contracts, rate: int, status: int
) -> None:
    async with running(trial, body_timeout=0.2, body_rate=rate) as rig, rig.connection() as connection:
        connection.send(rig.request("PUT", "/v1/blobs/a", Content_Length="40"))
        for _ in range(40):  # never silent for as long as it may be, and for longer than that in all
            connection.send(b"x")
            await asyncio.sleep(0.01)
        answer = await connection.answer()
        assert answer.status == status
        assert (rig.gateway.doors.peers.cut.bind("slow_body").value == 1) == (status == 408)
        if status == 408:
            answer.problem(408, "slow_body")
            assert answer.headers["connection"] == "close"


async def test_a_service_that_is_slow_does_not_make_the_upload_slow(trial: Contracts) -> None:
    async with running(trial, body_timeout=0.1, body_rate=1_000_000) as rig, rig.connection() as connection:

        async def rest(_piece: object) -> None:
            await asyncio.sleep(0.3)  # longer than the client might take for so little

        rig.projects.hook = rest
        connection.send(rig.request("PUT", "/v1/blobs/a", b"x" * 1000))
        assert (await connection.answer()).status == 201


async def test_compression_is_refused_and_nothing_else_of_the_type(rig: Any) -> None:
    (await rig.ask("PUT", "/v1/blobs/a", b"x", Content_Encoding="gzip")).problem(415, "unsupported_encoding")
    assert (await rig.ask("PUT", "/v1/blobs/a", b"x", Content_Type="what/ever; a=b")).status == 201


async def test_parameters_and_tokens_are_checked_as_everywhere(rig: Any) -> None:
    (await rig.ask("PUT", "/v1/blobs/a", b"x", bearer=None)).problem(401, "token_missing")
    (await rig.ask("PUT", "/v1/blobs/a?b=c", b"x")).problem(422, "invalid_argument")
    problem = (await rig.ask("PUT", "/v1/blobs/" + "a" * 30, b"x")).problem(422, "invalid_argument")
    assert problem["errors"][0]["pointer"] == "{name}"


async def test_an_upload_is_read_no_faster_than_it_is_taken(rig: Any) -> None:
    gate = asyncio.Event()

    async def wait(message: Any) -> None:
        await gate.wait()

    rig.projects.hook = wait
    async with rig.connection() as connection:
        connection.send(rig.request("PUT", "/v1/blobs/a", Content_Length="40000000"))
        connection.send(b"x" * 40_000_000)
        left = [-2, -1]
        while left[-1] != left[-2] or not left[-1]:
            left.append(connection.writer.transport.get_write_buffer_size())
            await asyncio.sleep(0.05)
        assert left[-1] > 20_000_000  # the rest is in the buffers of two sockets
        gate.set()
        assert (await connection.answer()).json["size"] == 40_000_000


async def test_a_download_with_a_length_is_sent_with_it(rig: Any) -> None:
    answer = await rig.ask("GET", "/v1/blobs/1000000")
    assert (answer.status, answer.body) == (200, b"x" * 1_000_000)
    headers = answer.headers
    assert (headers["content-type"], headers["content-length"], headers["x-note"]) == (
        "text/plain",
        "1000000",
        "a note",
    )
    assert "transfer-encoding" not in headers


async def test_a_download_without_a_length_is_chunked_and_the_connection_goes_on(rig: Any) -> None:
    async with rig.connection() as connection:
        for size in (1_000_000, 0, 1):
            rig.projects.produced = 0
            connection.send(rig.request("GET", f"/v1/blobs/{size}-"))
            status, headers = await head_of(connection)
            assert (status, headers["transfer-encoding"]) == (200, "chunked")
            assert await unchunked(connection) == b"x" * size


async def test_the_head_of_a_download_is_had_without_its_body(rig: Any) -> None:
    async with rig.connection() as connection:
        connection.send(rig.request("HEAD", "/v1/blobs/1000000"))
        answer = await connection.answer(head=True)
        assert (answer.status, answer.headers["content-length"], answer.body) == (200, "1000000", b"")
        connection.send(rig.request("GET", "/v1/small/a"))
        assert (await connection.answer()).body == b"a"
    await until(lambda: rig.projects.ended)


async def test_http_1_0_gets_a_download_until_the_connection_ends(rig: Any) -> None:
    async with rig.connection() as connection:
        connection.send(rig.request("GET", "/v1/blobs/300000-").replace(b"HTTP/1.1", b"HTTP/1.0"))
        status, headers = await head_of(connection)
        assert (status, headers["connection"]) == (200, "close")
        assert await connection.reader.read(-1) == b"x" * 300_000


async def test_a_refusal_before_the_first_piece_is_a_problem(rig: Any) -> None:
    (await rig.ask("GET", "/v1/blobs/-1+")).problem(404, "not_found")
    rig.projects.fail_at = 0
    (await rig.ask("GET", "/v1/blobs/1000000")).problem(409, "gone")


@pytest.mark.parametrize(("name", "version"), [("1000000", "1.1"), ("1000000-", "1.1"), ("1000000-", "1.0")])
async def test_a_download_that_breaks_off_is_never_taken_for_whole(rig: Any, name: str, version: str) -> None:
    rig.projects.fail_at = 2
    async with rig.connection() as connection:
        connection.send(rig.request("GET", f"/v1/blobs/{name}").replace(b"HTTP/1.1", f"HTTP/{version}".encode()))
        with pytest.raises(ConnectionError):
            await to_the_end(connection)
    await until(lambda: rig.projects.ended and not rig.gateway.in_flight)
    assert rig.projects.ended == ["Conflict"]
    line = rig.lines()[-1]
    assert (line["status"], line["bytes"], line["broken"]) == (200, 2 * blobs.CHUNK, "gone")
    assert sample(rig.metrics, broken("conflict")) == 1


@pytest.mark.parametrize("name", ["500000+"])
async def test_a_download_that_is_not_as_long_as_it_said_breaks_off(rig: Any, name: str) -> None:
    async with rig.connection() as connection:
        connection.send(rig.request("GET", f"/v1/blobs/{name}"))
        with pytest.raises(ConnectionError):
            await to_the_end(connection)


async def test_a_download_is_made_no_faster_than_it_is_read(rig: Any) -> None:
    async with rig.connection() as connection:
        connection.writer.transport.pause_reading()
        connection.send(rig.request("GET", "/v1/blobs/1000000000"))
        made = -1
        while made != rig.projects.produced or made == 0:
            made = rig.projects.produced
            await asyncio.sleep(0.1)
        assert made < 100  # of 3815: the buffers of two sockets
    await until(lambda: rig.projects.ended)
    assert rig.projects.ended[0] in ("CancelledError", "GeneratorExit")


async def test_a_client_that_reads_nothing_is_cut_off(trial: Contracts) -> None:
    async with running(trial, write_timeout=0.2) as rig, rig.connection() as connection:
        connection.writer.transport.pause_reading()
        connection.send(rig.request("GET", "/v1/blobs/1000000000"))
        await until(lambda: rig.projects.ended and not rig.gateway.in_flight)
        line = rig.lines()[-1]
        assert (line["status"], line["broken"]) == (200, "slow_client")
        assert line["bytes"] > 0


async def test_time_that_is_up_breaks_a_download_off(rig: Any) -> None:
    async def slowly(at: int) -> None:
        await asyncio.sleep(0.05)  # each piece takes its time, and all of them too much

    rig.projects.hook = slowly
    async with rig.connection() as connection:
        connection.send(rig.request("GET", "/v1/blobs/1000000000", X_Request_Timeout="1"))
        with pytest.raises(ConnectionError):
            await to_the_end(connection)
    await until(lambda: rig.projects.ended and not rig.gateway.in_flight)
    line = rig.lines()[-1]
    assert (line["status"], line["broken"]) == (200, "deadline_exceeded")


async def test_a_download_that_the_client_leaves_is_told_apart_from_one_that_is_whole(rig: Any) -> None:
    async with rig.connection() as connection:
        connection.send(rig.request("GET", "/v1/blobs/1000000000"))
        assert (await head_of(connection))[0] == 200
    await until(lambda: rig.projects.ended and not rig.gateway.in_flight)
    line = rig.lines()[-1]
    assert (line["status"], line["broken"] != "") == (200, True)
    assert 0 < line["bytes"] < 1_000_000_000
    assert (await rig.ask("GET", "/v1/blobs/10")).status == 200
    assert "broken" not in rig.lines()[-1]


async def test_a_key_is_refused_where_a_stream_may_change_something_and_nobody_would_keep_it(rig: Any) -> None:
    for verb, path in (("PUT", "/v1/blobs/one"), ("POST", "/v1/blobs/one:echo")):
        answer = await rig.ask(verb, path, b"data", Idempotency_Key="once")
        answer.problem(400, "idempotency_key_unsupported")
    assert rig.projects.taken == 0
    assert (
        await rig.ask("GET", "/v1/blobs/10", Idempotency_Key="once")
    ).status == 200  # reading may be repeated anyway
    paths = (await rig.ask("GET", "/v1/openapi.json")).json["paths"]
    for verb, path in (("put", "/v1/blobs/{name}"), ("post", "/v1/blobs/{name}:echo")):
        offered = [parameter.get("$ref", "") for parameter in paths[path][verb]["parameters"]]
        assert not [name for name in offered if "Idempotency-Key" in name]


async def test_what_goes_up_comes_down_while_it_goes(rig: Any) -> None:
    async with rig.connection() as connection:
        connection.send(rig.request("POST", "/v1/blobs/a:echo", Transfer_Encoding="chunked"))
        connection.send(chunked(b"one", end=False))
        assert (await head_of(connection))[0] == 200
        assert await connection.reader.readexactly(8) == b"3\r\none\r\n"
        connection.send(chunked(b"two"))
        assert await unchunked(connection) == b"two"


async def test_small_bodies_are_bytes_too(rig: Any) -> None:
    answer = await rig.ask("PUT", "/v1/small/a", b"\x00\xff", Content_Type="image/gif")
    assert answer.json == {"name": "a", "size": 2, "content_type": "image/gif", "note": ""}
    answer = await rig.ask("GET", "/v1/small/a")
    assert (answer.body, answer.headers["content-type"]) == (b"a", "image/png")


async def test_the_document_shows_bytes_as_bytes(trial: Contracts) -> None:
    async with running(trial) as rig:
        document = (await rig.ask("GET", "/v1/openapi.json")).json
    paths = document["paths"]
    put, get = paths["/v1/blobs/{name}"]["put"], paths["/v1/blobs/{name}"]["get"]
    raw = {"*/*": {"schema": {"type": "string", "format": "binary"}}}
    assert put["requestBody"]["content"] == raw
    assert "application/json" in put["responses"]["201"]["content"]
    assert get["responses"]["200"]["content"] == raw
    assert paths["/v1/small/{name}"]["get"]["responses"]["200"]["content"] == raw
    assert [p["name"] for p in put["parameters"] if "name" in p] == ["name", "X-Note"]


def test_a_piece_is_no_larger_than_is_kept() -> None:
    assert transfers.PIECE <= 256 * 1024
