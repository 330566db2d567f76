"""What a request has come to becomes an answer, whatever it was."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from acme.errors import Denied
from acme.gateway.server import PLAIN, kept
from tests.unit.acme.gateway.rig import ID, Rig

NOW = 1_800_000_000.0


async def test_a_refusal_is_never_kept_and_tells_the_permission_that_was_missing(rig: Rig) -> None:
    async def refuse(_: Any) -> None:
        raise Denied("The token does not cover it.", reason="insufficient_scope")

    rig.projects.before = refuse
    answer = await rig.ask("GET", f"/v1/projects/{ID}")
    assert (answer.status, answer.headers["cache-control"]) == (403, "no-store")
    assert 'scope="projects.read"' in answer.headers["www-authenticate"]


async def test_what_has_ended_is_no_longer_in_flight(rig: Rig) -> None:
    begun, end = asyncio.Event(), asyncio.Event()

    async def wait(_: Any) -> None:
        begun.set()
        await end.wait()

    rig.projects.before = wait
    asking = asyncio.get_running_loop().create_task(rig.ask("GET", f"/v1/projects/{ID}"))
    await begun.wait()
    assert rig.gateway.in_flight == 1
    end.set()
    await asking
    assert rig.gateway.in_flight == 0


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("", b"Cache-Control: no-store\r\n"),
        ("application/json", b"Content-Type: application/json\r\nCache-Control: no-store\r\n"),
        (
            kept("application/json", "private, max-age=5", "Authorization"),
            b"Content-Type: application/json\r\nCache-Control: private, max-age=5\r\nVary: Authorization\r\n",
        ),
        (kept("", "public, max-age=5", ""), b"Cache-Control: public, max-age=5\r\n"),
    ],
)
def test_a_head_says_whether_the_answer_may_be_kept(kind: str, told: bytes) -> None:
    head = PLAIN.of(200, kind, NOW)
    assert head.startswith(b"HTTP/1.1 200 OK\r\n" + told + b"X-Content-Type-Options: nosniff\r\nDate: ")
