"""Who may be connected, who is too slow, and what ends when it is crowded."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import msgspec
import pytest

from acme.errors import Unavailable
from acme.gateway import peers as module
from acme.gateway.peers import ConnectionSettings, Peers
from acme.telemetry import Metrics


@dataclass(eq=False)
class Peer:
    """A connection that tells what became of it."""

    peers: Peers
    network: str = "203.0.113.1"
    since: float = 0.0
    rested: float | None = None
    told: list[str] = field(default_factory=list)

    def late(self) -> None:
        self.told.append("late")

    def drop(self, why: str) -> None:
        self.told.append(why)

    def rest(self) -> None:
        self.told.append("rest")
        self.peers.gone(self)


def limited(head: float = 10.0, write: float = 10.0, files: int = 1000, **settings: int) -> Peers:
    peers = Peers(Metrics())
    peers.limit(ConnectionSettings(**settings), head, write, ["10.0.0.0/8"], files)
    return peers


async def until(condition: object) -> None:
    async with asyncio.timeout(10):
        while not condition():  # type: ignore[operator]  # noqa: ASYNC110  what is waited for has no event
            await asyncio.sleep(0.01)


async def test_somebody_hears_of_whoever_finds_no_room_and_why() -> None:
    peers, heard = limited(per_address=1, most=10), list[str]()
    peers.refused = heard.append
    assert peers.admit(Peer(peers), "203.0.113.1")
    assert not peers.admit(Peer(peers), "203.0.113.1")
    for number in range(9):
        assert peers.admit(Peer(peers, f"203.0.114.{number}"), f"203.0.114.{number}")
    assert peers.full
    assert heard == ["per_address", "most"]


async def test_one_address_has_so_many_and_no_more() -> None:
    peers = limited(per_address=2)
    mine = [Peer(peers) for _ in range(3)]
    assert [peers.admit(peer, peer.network) for peer in mine] == [True, True, False]
    assert peers.admit(Peer(peers, "203.0.113.2"), "203.0.113.2")
    peers.gone(mine[0])
    peers.gone(mine[2])  # which was never let in
    assert peers.admit(Peer(peers), "203.0.113.1")
    assert len(peers) == 3


async def test_a_balancer_has_as_many_as_there_is_room_for() -> None:
    peers = limited(per_address=1)
    assert all(peers.admit(Peer(peers, "10.0.0.1"), "10.0.0.1") for _ in range(5))
    assert all(peers.admit(Peer(peers, ""), "") for _ in range(5))


async def test_addresses_that_have_gone_take_no_memory() -> None:
    peers = limited()
    for number in range(100):
        peer = Peer(peers, str(number))
        peers.admit(peer, "192.0.2.1")
        peers.gone(peer)
    assert (peers._by_network, len(peers), peers.waiting) == ({}, 0, set())


async def test_there_is_room_for_so_many_and_for_no_more_than_there_are_files() -> None:
    peers, few = limited(most=10), limited(most=1000, files=10)
    for each in (peers, few):
        for number in range(10):
            assert not each.full
            each.admit(Peer(each, str(number)), "192.0.2.1")
        assert each.full


async def test_who_was_turned_away_is_counted() -> None:
    metrics = Metrics()
    peers = Peers(metrics)
    peers.limit(ConnectionSettings(per_address=1), 1, 1, [], 1)
    assert [peers.admit(Peer(peers), "203.0.113.1") for _ in range(3)] == [True, False, False]
    assert peers.full
    text = metrics.render().decode()
    assert 'acme_gateway_refused_connections_total{limit="per_address"} 2.0' in text
    assert 'acme_gateway_refused_connections_total{limit="most"} 1.0' in text
    assert "acme_gateway_connections 1.0" in text


async def test_a_head_that_does_not_come_in_time_is_late_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TICK", 0.01)
    peers = limited(head=0.03)
    slow, quick = Peer(peers), Peer(peers)
    peers.admit(slow, "203.0.113.1")
    peers.admit(quick, "203.0.113.1")
    peers.waiting.discard(quick)  # its head was whole
    await until(lambda: slow.told)
    assert (slow.told, quick.told, peers.waiting) == (["late"], [], set())


async def test_what_nobody_reads_of_an_answer_goes_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TICK", 0.01)
    peers = limited(write=0.03)
    peer, read = Peer(peers), Peer(peers)
    for each in (peer, read):
        peers.admit(each, "203.0.113.1")
        peers.leave(each)
    peers.gone(read)
    await until(lambda: peer.told)
    assert (peer.told, read.told) == (["slow_read"], [])


async def test_where_it_is_crowded_those_end_that_have_been_idle_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TICK", 0.01)
    peers = limited(most=10)
    everybody = [Peer(peers, rested=float(number)) for number in range(10)]
    everybody[0].rested = None  # it is being served
    for peer in everybody:
        peers.admit(peer, "203.0.113.1")
        peers.waiting.discard(peer)
    await until(lambda: len(peers) == 9)
    assert [peer.told for peer in everybody] == [[], ["rest"], *[[]] * 8]


async def test_nothing_is_looked_at_when_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TICK", 0.01)
    peers = limited()
    peer = Peer(peers)
    peers.admit(peer, "203.0.113.1")
    assert peers._looking
    peers.waiting.discard(peer)
    await until(lambda: not peers._looking)


async def test_bodies_hold_so_many_bytes_together() -> None:
    peers = limited(bodies=8 * 1024 * 1024)
    peers.hold(8 * 1024 * 1024)
    with pytest.raises(Unavailable, match="try again"):
        peers.hold(1)
    assert peers.held == 8 * 1024 * 1024


async def test_where_too_much_waits_to_be_read_those_end_that_have_been_reading_longest() -> None:
    peers = limited(answers=8 * 1024 * 1024)
    first, second, third = (Peer(peers) for _ in range(3))
    peers.unread(first, 5 * 1024 * 1024)
    peers.unread(second, 3 * 1024 * 1024)
    assert first.told == []
    peers.unread(third, 1024)
    assert (first.told, second.told, third.told) == (["slow_read"], [], [])
    peers.read(first)
    peers.read(second)
    peers.read(third)
    assert peers.unsent == 0


async def test_one_answer_may_be_as_large_as_it_is() -> None:
    peers = limited(answers=8 * 1024 * 1024)
    peer = Peer(peers)
    peers.unread(peer, 100 * 1024 * 1024)
    assert peer.told == []


async def test_limits_may_change_while_somebody_is_connected() -> None:
    peers = limited(per_address=1)
    assert peers.admit(Peer(peers), "203.0.113.1")
    assert not peers.admit(Peer(peers), "203.0.113.1")
    peers.limit(ConnectionSettings(per_address=2), 1, 1, [], 100)
    assert peers.admit(Peer(peers), "203.0.113.1")


@pytest.mark.parametrize("given", [{"most": 0}, {"per_address": 0}, {"bodies": 1}, {"answers": 1}, {"unknown": 1}])
def test_settings_are_within_reason(given: dict[str, int]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(given, ConnectionSettings)
