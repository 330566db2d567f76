"""Nudges: what they wake, how few of them there are, and that only news of the authority travels."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from acme.drivers.memory import MemoryBroadcast
from acme.runtime.nudges import AUTHORITY, Following, Nudges, deliveries_of
from acme.tasks import Tasks
from acme.telemetry import Metrics
from acme.tokens import TokenSettings, Verifier
from tests.unit.acme.authority import Authority, Direct
from tests.waiting import sample, until

NEVER = 3600.0
"""Seconds between polls where only a nudge can be the cause of one."""


@dataclass
class Rig:
    """Two processes that hear each other, as far as nudges go."""

    one: Nudges
    two: Nudges
    tasks: Tasks
    metrics: Metrics
    broadcast: MemoryBroadcast

    def said(self) -> float:
        return sample(self.metrics, 'acme_broadcast_messages_total{direction="published"}')


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    metrics = Metrics()
    broadcast = MemoryBroadcast(metrics)
    async with Tasks("test", Metrics()) as tasks:
        yield Rig(Nudges(broadcast, tasks), Nudges(broadcast, tasks), tasks, metrics, broadcast)
        await broadcast.close()


async def stands(event: asyncio.Event) -> None:
    """Waits for the `LOST` that a subscription begins with."""
    await asyncio.wait_for(event.wait(), 5)
    event.clear()


async def test_a_nudge_wakes_the_others_and_not_who_sent_it(rig: Rig) -> None:
    here, there = asyncio.Event(), asyncio.Event()
    topic = deliveries_of("users")
    rig.one.on(topic, here.set)
    rig.two.on(topic, there.set)
    await asyncio.gather(stands(here), stands(there))
    rig.one.send(topic)
    await stands(there)
    assert not here.is_set()


async def test_nudges_of_other_plugins_wake_nobody(rig: Rig) -> None:
    users, projects = asyncio.Event(), asyncio.Event()
    rig.two.on(deliveries_of("users"), users.set)
    rig.two.on(deliveries_of("projects"), projects.set)
    await asyncio.gather(stands(users), stands(projects))
    rig.one.send(deliveries_of("projects"))
    await stands(projects)
    assert not users.is_set()


async def test_many_commits_at_once_are_two_nudges(rig: Rig) -> None:
    """The first at once, and one more after the pause for all that came meanwhile."""
    for _ in range(1000):
        rig.one.send("topic")

    async def twice() -> bool:
        return rig.said() == 2

    await until(twice)
    rig.one.send("topic")

    async def thrice() -> bool:
        return rig.said() == 3

    await until(thrice)


@pytest.fixture
def authority() -> Authority:
    return Authority()


async def verifier(authority: Authority) -> Verifier:
    made = Verifier(Direct(authority), authority.clock, TokenSettings(), Metrics())
    await made.poll()
    return made


async def test_a_revocation_committed_here_is_known_there_without_waiting_for_a_poll(
    rig: Rig, authority: Authority
) -> None:
    here, there = await verifier(authority), await verifier(authority)
    hosting = Following(here, rig.one, every=NEVER)
    hosting.start(rig.tasks)
    Following(there, rig.two, every=NEVER).start(rig.tasks)
    token = authority.token()
    await there.verify(token)
    authority.revoke_session("ses_1")
    hosting.committed()

    async def revoked() -> bool:
        return there.cached(token) is None and here.position == there.position == (1, authority.key_version)

    await until(revoked)
    assert rig.said() == 1


async def test_news_that_somebody_else_here_asked_for_are_told_as_well(rig: Rig, authority: Authority) -> None:
    here, there = await verifier(authority), asyncio.Event()
    hosting = Following(here, rig.one, every=NEVER)
    rig.two.on(AUTHORITY, there.set)
    await stands(there)
    authority.revoke_session("ses_1")
    await here.catch_up()  # as the gateway does before it answers
    hosting.committed()
    await hosting.turn()
    assert here.position[0] == 1

    async def told() -> bool:
        return rig.said() == 1

    await until(told)


async def test_commits_that_bring_no_news_are_not_told(rig: Rig, authority: Authority) -> None:
    hosting = Following(await verifier(authority), rig.one, every=NEVER)
    for _ in range(3):
        hosting.committed()
        await hosting.turn()
    assert rig.said() == 0


async def test_news_heard_from_another_process_are_not_passed_on(rig: Rig, authority: Authority) -> None:
    there = await verifier(authority)
    Following(there, rig.two, every=NEVER).start(rig.tasks)
    authority.revoke_session("ses_1")
    rig.one.send(AUTHORITY)

    async def known() -> bool:
        return there.position[0] == 1

    await until(known)
    assert rig.said() == 1


async def test_without_any_nudge_the_authority_is_polled_in_its_time(rig: Rig, authority: Authority) -> None:
    alone = await verifier(authority)
    Following(alone, rig.one, every=0.05).start(rig.tasks)
    authority.revoke_session("ses_1")

    async def known() -> bool:
        return alone.position[0] == 1

    await until(known)
