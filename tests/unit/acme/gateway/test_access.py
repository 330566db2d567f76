"""The access log: one JSON line a request, in batches, whatever the path holds."""

from __future__ import annotations

import asyncio
import io
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from acme.gateway.access import UNREAD, AccessLog
from tests.waiting import until


def add(log: AccessLog, path: str = "/v1/projects") -> None:
    log.add(time.time(), "GET", "/v1/projects", path, 200, 0.0012345, 42, "r-1", "usr_1", "127.0.0.1")


async def test_a_line_says_all_that_is_known_of_a_request() -> None:
    stream = io.StringIO()
    log = AccessLog(stream)
    add(log)
    log.flush()
    line = json.loads(stream.getvalue())
    moment = datetime.fromisoformat(line.pop("time"))
    assert abs(datetime.now(UTC) - moment) < timedelta(seconds=5)
    assert line == {
        "method": "GET",
        "route": "/v1/projects",
        "path": "/v1/projects",
        "status": 200,
        "duration_ms": 1.234,
        "bytes": 42,
        "request_id": "r-1",
        "principal": "usr_1",
        "address": "127.0.0.1",
    }


async def test_a_line_says_why_an_answer_broke_off() -> None:
    stream = io.StringIO()
    log = AccessLog(stream)
    log.add(
        time.time(), "GET", "/v1/blobs/{name}", "/v1/blobs/a", 200, 0.1, 42, "r-1", "usr_1", "127.0.0.1", "slow_client"
    )
    log.flush()
    line = json.loads(stream.getvalue())
    assert (line["status"], line["bytes"], line["broken"]) == (200, 42, "slow_client")


async def test_lines_are_written_together_and_soon() -> None:
    written = asyncio.Event()

    class Counting(io.StringIO):
        writes = 0

        def write(self, text: str) -> int:
            self.writes += 1
            written.set()
            return super().write(text)

    stream = Counting()
    log = AccessLog(stream)
    add(log)
    add(log)
    assert stream.writes == 0
    async with asyncio.timeout(5):
        await written.wait()
    assert stream.writes == 1
    assert len(stream.getvalue().splitlines()) == 2


async def test_many_lines_are_written_at_once_and_no_line_is_lost() -> None:
    stream = io.StringIO()
    log = AccessLog(stream)
    for _ in range(250):
        add(log)
    assert len(stream.getvalue().splitlines()) == 200

    async def all_there() -> bool:
        return len(stream.getvalue().splitlines()) == 250

    await until(all_there)
    add(log)

    async def the_next_too() -> bool:
        return len(stream.getvalue().splitlines()) == 251

    await until(the_next_too)


@pytest.mark.parametrize(
    "path", ['/"', "/\\", "/\n", "/\x00", "/é", "/\udcff", "/</script>", "/{", "/\u2028", '","status":200,"x":"']
)
async def test_a_path_never_breaks_its_line(path: str) -> None:
    stream = io.StringIO()
    log = AccessLog(stream)
    add(log, path)
    log.flush()
    text = stream.getvalue()
    assert text.count("\n") == 1
    assert text.encode()
    assert json.loads(text)["status"] == 200


async def test_a_path_is_cut() -> None:
    stream = io.StringIO()
    log = AccessLog(stream)
    add(log, "/" + "x" * 5000)
    log.flush()
    assert len(json.loads(stream.getvalue())["path"]) == 500


async def test_without_a_stream_nothing_is_kept() -> None:
    log = AccessLog(None)
    add(log)
    log.flush()


# ---- what never became a request ------------------------------------------------------------------------------------


class Stream(io.StringIO):
    """Says when a line has been written that counts others."""

    def __init__(self) -> None:
        super().__init__()
        self.told = asyncio.Event()

    def write(self, text: str) -> int:
        if '"reason":' in text:
            self.told.set()
        return super().write(text)

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]


def nonsense(log: AccessLog, why: str = "malformed_request") -> None:
    log.unread(time.time(), 400, 0.001, 174, "r-1", "127.0.0.1", why)


async def test_what_never_became_a_request_has_a_line_with_all_fields_and_says_why() -> None:
    stream = Stream()
    log = AccessLog(stream)
    nonsense(log)
    log.flush()
    (line,) = stream.lines()
    assert line.pop("time").endswith("Z")
    assert line == {
        "status": 400,
        "duration_ms": 1.0,
        "bytes": 174,
        "request_id": "r-1",
        "address": "127.0.0.1",
        "refused": "malformed_request",
        **dict.fromkeys(("method", "route", "path", "principal"), ""),
    }


async def test_beyond_so_many_such_lines_the_others_are_counted_within_a_second() -> None:
    stream, more = Stream(), 5
    log = AccessLog(stream)
    for _ in range(UNREAD.burst):
        nonsense(log)
    for why in ["malformed_request"] * more + ["slow_head"]:
        nonsense(log, why)
    async with asyncio.timeout(10):
        await stream.told.wait()
    lines = stream.lines()
    told = sum(line.get("suppressed", 0) for line in lines)
    assert told > 0
    assert told + sum("refused" in line for line in lines) == UNREAD.burst + more + 1
    assert {"reason", "suppressed", "time"} == set(lines[-1])


async def test_what_is_shed_is_told_once_a_second_by_its_reason() -> None:
    stream = Stream()
    log = AccessLog(stream)
    for reason in ["overloaded"] * 3 + ["per_address"]:
        log.shed(reason)
    log.flush()
    assert stream.lines() == [], "a second has not passed"
    async with asyncio.timeout(10):
        await stream.told.wait()
    assert [(line["reason"], line["shed"]) for line in stream.lines()] == [("overloaded", 3), ("per_address", 1)]
    log.shed("overloaded")
    stream.told.clear()
    async with asyncio.timeout(10):
        await stream.told.wait()
    assert stream.lines()[-1]["shed"] == 1, "it begins anew each second"


async def test_the_end_tells_what_was_counted() -> None:
    stream = Stream()
    log = AccessLog(stream)
    log.shed("most")
    log.close()
    assert [(line["reason"], line["shed"]) for line in stream.lines()] == [("most", 1)]


async def test_without_a_stream_nothing_is_counted() -> None:
    log = AccessLog(None)
    nonsense(log)
    log.shed("most")
    log.stream = stream = Stream()
    log.close()
    assert stream.getvalue() == ""
