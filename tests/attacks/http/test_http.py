"""Every attack over raw sockets against a gateway on a real port: whole, byte by byte, with a next request behind it, and
behind others on a connection whose client is known.

Each is refused or treated as the RFC says, in all these ways alike, and the state of the connection is looked at after: it
is closed, or the next request on it is answered right; and never is anything else run than what was answered.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from tests.attacks.http import chunks, connections, fields, framing, hosts, lines, targets
from tests.attacks.http.case import GET, ID, TOKEN, Case
from tests.attacks.http.client import Answer, Wire, connected
from tests.unit.acme.gateway.rig import Rig, running

CASES = [case for each in (lines, targets, hosts, fields, framing, chunks, connections) for case in each.CASES]
KNOWN = GET + b"\r\n"
"""Has the lines that most attacks on the first one have as well."""
PIECES = 200
BODY_REFUSED = [(400, "malformed_body")]
"""What a request is told as well whose body turns out to be none after it has begun."""
HEAD_REFUSED = [(400, "malformed_request")]
"""What a request is told as well that is no HTTP together with what is behind it."""


@pytest.fixture(scope="module")
async def gateway() -> AsyncIterator[Rig]:
    async with running(head_timeout=60, body_timeout=60) as rig:
        yield rig


def bytes_of(case: Case, rig: Rig) -> bytes:
    return case.sent.replace(TOKEN, rig.authority.token().encode())


def canary(rig: Rig) -> bytes:
    """A next request: one that can be told by its id in answers, and by its call."""
    return rig.request("GET", f"/v1/projects/{ID.decode()}", X_Request_Id="canary")


def check(case: Case, answer: Answer | None, *others: tuple[int, str]) -> None:
    """It is the answer that the case has to get, or another one."""
    assert answer is not None
    if case.code:
        assert answer.header("content-type") == "application/problem+json", answer
        told = json.loads(answer.body)
        assert (answer.status, told["code"]) in {(case.status, case.code), *others}, answer
        assert told["request_id"] == answer.header("x-request-id")
    else:
        assert answer.status == case.status, answer
    assert answer.header("x-request-id") != "canary"
    assert answer.header("set-cookie") is None


async def check_state(case: Case, wire: Wire, rig: Rig) -> None:
    """The connection is closed, or its next request is answered right."""
    if not case.stays:
        await wire.ended()
        assert wire.received == b""
        return
    wire.send(canary(rig))
    answer = await wire.answer()
    assert answer is not None
    assert (answer.status, answer.header("x-request-id")) == (200, "canary")


def calls(rig: Rig) -> int:
    return len(rig.sessions.requests) + len(rig.projects.requests)


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.id))
async def test_it_is_refused_or_treated_as_the_rfc_says(gateway: Rig, case: Case) -> None:
    before = calls(gateway)
    async with connected(gateway.port) as wire:
        wire.send(bytes_of(case, gateway))
        for _ in range(case.answers):
            answer = await wire.answer()
            check(case, answer)
            if answer is not None and case.answers == 1:
                assert (answer.header("connection") == "close") == (not case.stays)
        await check_state(case, wire, gateway)
    assert calls(gateway) - before == case.runs + case.stays


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.id))
async def test_it_is_the_same_in_small_pieces(gateway: Rig, case: Case) -> None:
    before, sent = calls(gateway), bytes_of(case, gateway)
    size = max(1, len(sent) // PIECES)
    async with connected(gateway.port) as wire:
        for at in range(0, len(sent), size):
            if wire.received and case.answers == 1 and not case.stays:
                break  # it has been refused: what came now would only reset the connection
            wire.send(sent[at : at + size])
            await asyncio.sleep(0)
        for _ in range(case.answers):
            answer = await wire.answer()
            check(case, answer, *BODY_REFUSED)
        if case.unread and answer is not None and answer.header("connection") == "close":
            await wire.ended()
            return
        await check_state(case, wire, gateway)
    assert calls(gateway) - before == case.runs + case.stays


@pytest.mark.parametrize("case", [case for case in CASES if not case.ends], ids=lambda case: str(case.id))
async def test_a_next_request_behind_it_is_not_mixed_up_with_it(gateway: Rig, case: Case) -> None:
    """It is answered for itself, or not at all."""
    before = calls(gateway)
    async with connected(gateway.port) as wire:
        wire.send(bytes_of(case, gateway) + canary(gateway))
        for _ in range(case.answers):
            check(case, await wire.answer(), *HEAD_REFUSED)
        answer = await wire.answer() if case.stays and b"chunked" not in case.sent.lower() else None
        if answer is None:  # after chunks, what is behind may have been taken with them, and is not read
            await wire.until(lambda: wire.lost or wire.received)
            assert wire.received == b""
        else:
            assert (answer.status, answer.header("x-request-id")) == (200, "canary")
    assert calls(gateway) - before == case.runs + (answer is not None)


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.id))
async def test_it_is_the_same_on_a_connection_whose_client_is_known(gateway: Rig, case: Case) -> None:
    before = calls(gateway)
    async with connected(gateway.port) as wire:
        for _ in range(2):
            wire.send(KNOWN)
            answer = await wire.answer()
            assert answer is not None
            assert answer.status == 200
        wire.send(bytes_of(case, gateway))
        for _ in range(case.answers):
            check(case, await wire.answer())
        await check_state(case, wire, gateway)
    assert calls(gateway) - before == case.runs + case.stays


def test_there_are_200_and_more_each_with_an_id_of_its_own() -> None:
    assert len(CASES) >= 200
    assert [name for name, times in Counter(case.id for case in CASES).items() if times > 1] == []


async def test_the_gateway_is_as_well_as_before(gateway: Rig) -> None:
    """After all of them: nothing is left behind, and nothing is in flight."""
    await gateway.until(lambda: not len(gateway.gateway.doors.peers))
    assert (gateway.gateway.in_flight, gateway.gateway.doors.peers.held) == (0, 0)
    assert (await gateway.ask("GET", f"/v1/projects/{ID.decode()}")).status == 200
