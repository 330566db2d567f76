"""How much a gateway takes on, and who hears that it is too much. In one file because all of it is about one gateway that
has too much to do, and about what makes it so.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

import acme.gateway.connection as connections
from acme.gateway.overload import CALM, LEAST
from acme.gateway.overload_settings import OverloadSettings
from acme.gateway.queues import CROWD, FEW, SHORT
from tests.unit.acme.gateway.rig import ID, Answer, Rig, running
from tests.waiting import sample, until

ONE = f"/v1/projects/{ID}"
PROJECTS = "acme.projects.v1.Projects"


@asynccontextmanager
async def held(count: int, **settings: int) -> AsyncIterator[tuple[Rig, list[asyncio.Future[Answer]], asyncio.Event]]:
    """A gateway with so many requests under way, which end with the event."""
    go = asyncio.Event()

    async def wait(_: object) -> None:
        await go.wait()

    async with running(overload=OverloadSettings(**settings)) as rig, asyncio.TaskGroup() as group:
        rig.gateway._overload._arm = lambda: None  # type: ignore[method-assign]  # nobody looks but the test
        assert (await rig.ask("GET", ONE)).status == 200
        rig.projects.before = wait
        asked = [group.create_task(rig.ask("GET", ONE)) for _ in range(count)]

        async def under_way() -> bool:
            return rig.gateway.in_flight == count

        await until(under_way)
        try:
            yield rig, list(asked), go
        finally:
            go.set()


async def test_requests_under_way_are_bounded_and_health_is_told() -> None:
    async with held(LEAST, requests=LEAST) as (rig, asked, go):
        answer = await rig.ask("GET", ONE)
        answer.problem(503, "overloaded")
        assert answer.headers["retry-after"] == "1"
        (await rig.ask("POST", "/v1/projects", {"name": "x"})).problem(503, "overloaded")
        for path in ("/healthz", "/readyz", "/metrics", "/"):
            assert (await rig.ask("GET", path, bearer=None)).status == 200
        assert sample(rig.metrics, 'acme_gateway_shed_total{reason="requests"}') == 2
        go.set()
        assert {(await each).status for each in asked} == {200}
        assert (await rig.ask("GET", ONE)).status == 200


async def test_when_all_wait_fewer_are_let_in_and_more_again_when_they_do_not() -> None:
    async with held(100) as (rig, asked, go):
        overload = rig.gateway._overload
        overload.judge(1.0)
        assert overload.most == 87
        overload.judge(1.0)
        assert overload.most == 76
        (await rig.ask("GET", ONE)).problem(503, "overloaded")
        assert sample(rig.metrics, 'acme_gateway_shed_total{reason="queue"}') == 1
        assert sample(rig.metrics, "acme_gateway_requests_limit") == 76
        overload.judge(0.0)
        assert overload.most == 76 + 7 + 4
        go.set()
        assert {(await each).status for each in asked} == {200}
        for _ in range(CALM):
            overload.judge(0.0)
        assert not overload.shedding
        assert overload.most == OverloadSettings().requests
        assert (await rig.ask("GET", ONE)).status == 200


async def test_in_the_connection_the_same_is_refused_without_a_line_in_the_log() -> None:
    async with held(100) as (rig, _, go):
        overload = rig.gateway._overload
        overload.judge(1.0)
        overload._sieve.close(overload.skimmed, overload.sifted)
        before = len(rig.lines())
        async with rig.connection() as connection:
            for _ in range(5):
                connection.send(rig.request("GET", f"{ONE}?x=1"))
                (await connection.answer()).problem(503, "overloaded")
            connection.send(rig.request("GET", "/healthz?x=1"))
            assert (await connection.answer()).status == 200
        assert len(rig.lines()) == before + 1
        go.set()


async def test_a_few_are_always_let_in() -> None:
    async with held(LEAST) as (rig, _, go):
        overload = rig.gateway._overload
        for _ in range(50):
            overload.judge(1.0)
        assert not overload.shedding, "so few are no crowd"
        go.set()
    async with held(LEAST + 1) as (rig, _, go):
        overload = rig.gateway._overload
        for _ in range(50):
            overload.judge(1.0)
        assert overload.shedding
        assert overload.most == LEAST
        go.set()


async def test_other_settings_hold_at_once() -> None:
    async with running() as rig:
        overload = rig.gateway._overload
        overload.configure(OverloadSettings(requests=500))
        assert overload.most == 500
        overload.configure(OverloadSettings(requests=900))
        assert overload.most == 900


async def test_a_route_that_went_with_other_settings_is_not_found_any_more() -> None:
    async with running() as rig:
        overload, routes = rig.gateway._overload, rig.gateway._routes
        health = overload._target("GET", "/healthz")
        assert health is not None
        assert overload._target("GET", "/own?x=1") is None
        routes.add("GET", "/own", health)
        assert overload._target("GET", "/own?x=1") is health
        routes.remove("/own")
        overload.configure(OverloadSettings())
        assert overload._target("GET", "/own?x=1") is None


async def test_the_event_loop_is_watched_while_there_is_anything_to_do() -> None:
    async with running() as rig:
        overload = rig.gateway._overload
        watching: list[bool] = []

        async def look(_: object) -> None:
            watching.append(overload._watching)

        async def over() -> bool:
            return not overload._watching

        rig.projects.before = look
        for number in range(30):
            assert (await rig.ask("GET", ONE)).status == 200
            if number % 10 == 0:
                await until(over)
        assert watching == [True] * 30


# Queues in front of databases


class Line:
    """A queue."""

    def __init__(self) -> None:
        self.waiting = self.served = 0

    def read(self) -> tuple[int, int]:
        return self.waiting, self.served


def crowd(rig: Rig) -> None:
    """As if many calls were under way."""
    for lane in rig.gateway._lanes.serving(PROJECTS):
        lane.free -= 2 * LEAST


async def test_who_would_wait_for_too_much_of_its_time_is_refused_and_others_are_not() -> None:
    line = Line()
    async with running(queues={PROJECTS: line.read}) as rig:
        assert (await rig.ask("GET", ONE)).status == 200
        overload = rig.gateway._overload
        (store,) = overload._stores
        line.waiting, store._speed = 60, 100.0
        store.look()
        assert (await rig.ask("GET", ONE, X_Request_Timeout="2")).status == 200, "so few are no crowd"
        crowd(rig)
        (store,) = overload._stores
        line.waiting, store._speed = 60, 100.0
        store.look()
        (await rig.ask("PATCH", ONE, {"name": "x"}, If_Match='"7"', X_Request_Timeout="2")).problem(503, "overloaded")
        assert (await rig.ask("PATCH", ONE, {"name": "x"}, If_Match='"7"')).status == 200, "it has ten seconds"
        assert (await rig.ask("POST", "/v1/sessions", {"email": "a@example.com", "password": "right"})).status == 201
        line.waiting = 110
        store.look()
        (await rig.ask("PATCH", ONE, {"name": "x"}, If_Match='"7"')).problem(503, "overloaded")
        assert sample(rig.metrics, 'acme_gateway_shed_total{reason="deadline"}') == 2


async def test_in_the_connection_the_time_of_a_request_counts_too() -> None:
    line = Line()
    async with running(queues={PROJECTS: line.read}) as rig:
        assert (await rig.ask("GET", ONE, X_Request_Timeout="5")).status == 200
        overload = rig.gateway._overload
        crowd(rig)
        (store,) = overload._stores
        line.waiting, store._speed = 60, 100.0
        store.look()
        overload._sieve.close(overload.skimmed, overload.sifted)
        before = len(rig.lines())
        async with rig.connection() as connection:
            for timeout, status in (("2", 503), ("5", 200), ("nonsense", 400)):
                connection.send(rig.request("GET", ONE, X_Request_Timeout=timeout))
                assert (await connection.answer()).status == status
        assert len(rig.lines()) == before + 2, "all but the one that was refused in the connection"


async def test_services_of_one_database_share_its_queue() -> None:
    line = Line()
    async with running(queues={PROJECTS: line.read, "acme.projects.v1.ProjectSettings": line.read}) as rig:
        (store,) = rig.gateway._overload._stores
        assert {lane.service for lane in store._lanes} == {PROJECTS, "acme.projects.v1.ProjectSettings"}


@asynccontextmanager
async def standing(speed: float = 1000.0) -> AsyncIterator[tuple[Rig, Line]]:
    """A gateway before a service of which more is asked than its database has time for; nobody is let in."""
    line = Line()
    async with running(queues={PROJECTS: line.read}) as rig:
        make, known = rig.authority.token, rig.authority.token()
        rig.authority.token = lambda **changed: make(**changed) if changed else known  # type: ignore[method-assign]  # one for all
        assert (await rig.ask("GET", ONE, X_Request_Timeout="5", X_Request_Id="known")).status == 200
        overload = rig.gateway._overload
        overload._arm = lambda: None  # type: ignore[method-assign]  # nobody looks but the test
        (store,) = overload._stores
        line.waiting, store._speed, store._least = CROWD + 1, speed, 1.0
        store.pass_window(0.1, 0.03)
        assert store.standing
        store._speed = speed
        overload._sieve.close(overload.skimmed, overload.sifted)
        yield rig, line


def kept(rig: Rig) -> int:
    """How many wait in line."""
    (store,) = rig.gateway._overload._stores
    return len(store._line)


async def in_line(rig: Rig, count: int) -> None:
    """Waits until so many wait."""

    async def so_many() -> bool:
        return kept(rig) == count

    await until(so_many)


async def served(rig: Rig, line: Line) -> None:
    """So many have had their turn that others leave the line."""
    line.waiting = FEW
    (lane, _) = rig.gateway._lanes.serving(PROJECTS)
    assert lane.eventful
    lane.answered()
    line.waiting = SHORT


async def test_plain_requests_wait_in_line_and_have_their_turn_in_the_order_in_which_they_came() -> None:
    names = ["one", "two", "three"]
    async with standing() as (rig, line), AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(rig.connection()) for _ in names]
        for number, (connection, name) in enumerate(zip(connections, names, strict=True), start=1):
            connection.send(rig.request("GET", ONE, X_Request_Id=name))
            await in_line(rig, number)
        assert rig.gateway.in_flight == 0
        await served(rig, line)
        answers = [await connection.answer() for connection in connections]
        assert [(answer.status, answer.headers["x-request-id"]) for answer in answers] == [
            (200, name) for name in names
        ]
        assert [call.request_id for call in rig.projects.calls[1:]] == names
        assert rig.gateway._overload.coming.count == 0


async def test_the_time_in_line_is_part_of_the_request() -> None:
    async with standing() as (rig, line), rig.connection() as connection:
        connection.send(rig.request("GET", ONE))
        await in_line(rig, 1)
        (store,) = rig.gateway._overload._stores
        place = store._line.popleft()
        store._line.append(place._replace(came=place.came - 5.0))
        await served(rig, line)
        assert (await connection.answer()).status == 200
        connection.send(rig.request("GET", "/healthz"))
        assert (await connection.answer()).status == 200
        waited, not_waited = (entry["duration_ms"] for entry in rig.lines()[-2:])
        assert waited >= 5000 > 2000 > not_waited


async def test_who_would_wait_in_line_for_too_long_is_refused() -> None:
    async with standing(speed=100.0) as (rig, line), rig.connection() as connection:
        connection.send(rig.request("GET", ONE, X_Request_Timeout="2", X_Request_Id="mine"))
        answer = await connection.answer()
        assert answer.problem(503, "overloaded")["request_id"] == "mine"
        assert answer.headers["retry-after"] == "1"
        assert sample(rig.metrics, 'acme_gateway_shed_total{reason="deadline"}') == 1
        connection.send(rig.request("GET", ONE, X_Request_Timeout="5"))
        await in_line(rig, 1)
        await served(rig, line)
        assert (await connection.answer()).status == 200


async def test_who_has_waited_in_line_for_too_long_hears_so() -> None:
    async with standing() as (rig, _), rig.connection() as connection:
        (store,) = rig.gateway._overload._stores
        connection.send(rig.request("GET", ONE, X_Request_Id="mine"))
        await in_line(rig, 1)
        store._line.append(store._line.popleft()._replace(until=0.0))
        store.look()
        assert (await connection.answer()).problem(503, "overloaded")["request_id"] == "mine"
        assert sample(rig.metrics, 'acme_gateway_shed_total{reason="deadline"}') == 1
        connection.send(rig.request("GET", "/healthz"))
        assert (await connection.answer()).status == 200, "the connection goes on"


async def test_what_comes_behind_a_request_in_line_brings_it_in_and_is_answered_after_it() -> None:
    async with standing() as (rig, _), rig.connection() as connection:
        connection.send(rig.request("GET", ONE, X_Request_Id="first"))
        await in_line(rig, 1)
        connection.send(rig.request("GET", ONE, X_Request_Id="second"))
        assert [(await connection.answer()).headers["x-request-id"] for _ in range(2)] == ["first", "second"]


async def test_what_has_waited_in_line_is_not_parsed_again_either(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[bytes] = []
    feed = connections._feed

    def count(connection: Any, data: bytes) -> None:
        parsed.append(data)
        feed(connection, data)

    monkeypatch.setattr(connections, "_feed", count)
    async with standing() as (rig, line), rig.connection() as connection:
        parsed.clear()
        for path in (ONE, ONE, "/v1/projects", ONE):
            connection.send(rig.request("GET", path))
            await in_line(rig, 1)
            await served(rig, line)
            assert (await connection.answer()).status == 200
        assert parsed == [rig.request("GET", ONE)]
        connection.send(rig.request("GET", ONE, X_Request_Id="first"))
        await in_line(rig, 1)
        connection.send(rig.request("GET", ONE, X_Request_Id="second"))
        assert [(await connection.answer()).headers["x-request-id"] for _ in range(2)] == ["first", "second"]
        assert len(parsed) == 3, "they say something else"


async def test_who_goes_away_leaves_the_line() -> None:
    async with standing() as (rig, line), rig.connection() as other:
        async with rig.connection() as connection:
            connection.send(rig.request("GET", ONE))
            await in_line(rig, 1)

        async def gone() -> bool:
            (store,) = rig.gateway._overload._stores
            return not store._line[0].comer.put_off

        await until(gone)
        other.send(rig.request("GET", ONE, X_Request_Id="other"))
        await in_line(rig, 2)
        await served(rig, line)
        assert (await other.answer()).headers["x-request-id"] == "other"
        assert kept(rig) == 0


async def test_health_and_what_changes_something_do_not_wait_in_line() -> None:
    async with standing() as (rig, _):
        assert (await rig.ask("GET", "/healthz")).status == 200
        assert (await rig.ask("GET", "/v1/nowhere")).status == 404
        assert (await rig.ask("PATCH", ONE, {"name": "x"}, If_Match='"7"')).status == 200
        assert (await rig.ask("POST", "/v1/sessions", {"email": "a@example.com", "password": "right"})).status == 201


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic {token}"}, {"Authorization": "Bearer {other}"}],
    ids=["no token", "no token of ours", "another scheme", "a token that nobody has verified yet"],
)
async def test_strangers_do_not_wait_in_line(headers: dict[str, str]) -> None:
    """Limits and tokens are asked about once a request is let in: who is nobody yet hears at once what they say."""
    async with standing() as (rig, _):
        known, other = rig.authority.token(), rig.authority.token(jti="2")
        filled = {name: value.format(token=known, other=other) for name, value in headers.items()}
        answer = await rig.ask("GET", ONE, bearer=None, **filled)
        assert answer.status == (200 if "{other}" in str(headers) else 401)
        assert kept(rig) == 0


async def test_a_drain_lets_all_in() -> None:
    async with standing() as (rig, _), rig.connection() as connection:
        connection.send(rig.request("GET", ONE))
        await in_line(rig, 1)
        async with asyncio.TaskGroup() as group:
            group.create_task(rig.gateway.drain(5.0))
            assert (await connection.answer()).status == 200


async def test_the_gateway_looks_for_as_long_as_anybody_waits_in_line() -> None:
    async with standing() as (rig, line), rig.connection() as connection:
        overload = rig.gateway._overload
        connection.send(rig.request("GET", ONE))
        await in_line(rig, 1)
        overload._tick()
        assert overload._watching
        assert overload._sieve._peers.sift is not None
        line.waiting = 0
        overload._since = 0.0
        overload._tick()
        assert kept(rig) == 0, "there is room"
        assert (await connection.answer()).status == 200
