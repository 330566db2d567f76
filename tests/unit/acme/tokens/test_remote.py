"""Keys behind a URL: looked at ahead, once for all who wait, not more often than allowed, and believed for a while without
their issuer."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from acme import drivers
from acme.errors import Unavailable
from acme.telemetry import Metrics
from acme.tokens.issuer_settings import IssuerSettings
from acme.tokens.remote import LARGEST, UNKNOWN, UNKNOWN_FOR, WAITING, RemoteKeys
from tests.issuer import KEYS, METADATA, Issuer, Page, issuing
from tests.waiting import sample, until


@dataclass
class Rig:
    issuer: Issuer
    keys: RemoteKeys
    metrics: Metrics
    withdrawn: list[int] = field(default_factory=list)
    seconds: float = 1000.0

    def settings(self, **changed: Any) -> IssuerSettings:
        return msgspec.convert(self.issuer.settings(**changed), IssuerSettings)

    def looks(self) -> int:
        """How often its keys were asked for."""
        return self.issuer.asked.count(KEYS)

    def count(self, result: str) -> float:
        return sample(self.metrics, f'acme_token_issuer_fetches_total{{issuer="one",result="{result}"}}')


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuing() as one:
        yield one


@pytest.fixture
async def rig(issuer: Issuer) -> AsyncIterator[Rig]:
    metrics, fetcher = Metrics(), drivers.open_fetcher()
    fetches = metrics.counter("acme_token_issuer_fetches_total", "Looks.", ("issuer", "result"))
    settings = msgspec.convert(issuer.settings(), IssuerSettings)
    made: list[Rig] = []
    keys = RemoteKeys(
        "one", settings, fetcher, lambda: made[0].withdrawn.append(1), fetches, lambda: made[0].seconds if made else 0
    )
    made.append(Rig(issuer, keys, metrics))
    yield made[0]
    await fetcher.close()


async def test_the_first_token_finds_the_keys_by_the_metadata(rig: Rig) -> None:
    key = await rig.keys.find("k1")
    assert key is not None
    assert key.kid == "k1"
    assert rig.issuer.asked == [METADATA, KEYS]
    assert rig.keys.holds(key)
    assert len(rig.keys) == 1


async def test_keys_that_are_known_are_not_asked_for(rig: Rig) -> None:
    await rig.keys.refresh()
    rig.issuer.asked.clear()
    assert await rig.keys.find("k1") is not None
    assert rig.issuer.asked == []


async def test_a_url_of_keys_that_is_declared_needs_no_metadata(rig: Rig) -> None:
    rig.keys.configure(rig.settings(jwks_url=rig.issuer.url + KEYS))
    assert await rig.keys.find("k1") is not None
    assert rig.issuer.asked == [KEYS]


async def test_a_new_key_is_found_by_the_first_token_that_names_it(rig: Rig) -> None:
    await rig.keys.refresh()
    rig.issuer.publish("k2")
    assert await rig.keys.find("k2") is not None
    assert rig.withdrawn == [], "nothing was taken away"


async def test_all_who_wait_for_a_key_ask_once(rig: Rig) -> None:
    await rig.keys.refresh()
    rig.issuer.publish("k2")
    rig.issuer.open.clear()
    rig.issuer.asked.clear()
    _, *found = await asyncio.gather(_opened(rig, KEYS), *(rig.keys.find("k2") for _ in range(50)))
    assert all(found)
    assert rig.issuer.asked == [KEYS]


async def _opened(rig: Rig, path: str) -> None:
    """Lets answers go once this path was asked for."""

    async def asked() -> bool:
        return path in rig.issuer.asked

    await until(asked)
    rig.issuer.open.set()


async def test_unknown_keys_cause_a_look_only_so_often_and_none_of_them_is_anybodys(rig: Rig) -> None:
    await rig.keys.refresh()
    looks = rig.looks()
    for number in range(1, 30):
        assert await rig.keys.find(f"made up {number}") is None
    assert rig.looks() == looks + 1
    rig.seconds += rig.keys.settings.refetch
    assert await rig.keys.find("made up 30") is None
    assert rig.looks() == looks + 2


async def test_keys_that_are_known_go_on_working_while_unknown_ones_come_in(rig: Rig) -> None:
    await rig.keys.refresh()
    for name in ("made up", "made up too"):
        assert await rig.keys.find(name) is None
    assert await rig.keys.find("k1") is not None


async def test_a_key_published_behind_a_flood_of_made_up_ones_is_found_with_the_next_look(rig: Rig) -> None:
    await rig.keys.refresh()
    assert await rig.keys.find("made up") is None
    rig.issuer.publish("k2")
    rig.seconds += rig.keys.settings.refetch * 0.99
    assert await rig.keys.find("k2") is None, "there has been a look since it was asked for, by none"
    for number in range(100):
        assert await rig.keys.find(f"made up {number}") is None
    rig.seconds += rig.keys.settings.refetch * 0.02
    assert await rig.keys.find("k2") is not None
    assert "k2" not in rig.keys._unknown


async def test_a_key_published_behind_a_flood_is_found_whoever_causes_the_next_look(rig: Rig) -> None:
    await rig.keys.refresh()
    assert await rig.keys.find("made up 1") is None
    rig.issuer.publish("k2")
    assert await rig.keys.find("k2") is None
    rig.seconds += rig.keys.settings.refetch
    assert await rig.keys.find("made up 2") is None
    assert await rig.keys.find("k2") is not None


async def test_made_up_names_are_not_judged_once_a_look_has_failed(rig: Rig) -> None:
    await rig.keys.refresh()
    assert await rig.keys.find("made up 1") is None
    rig.issuer.pages[KEYS] = Page(b"", 503)
    assert await rig.keys.find("made up 2") is None, "it answered a moment ago"
    rig.seconds += 1
    await rig.keys.refresh()
    with pytest.raises(Unavailable) as caught:
        await rig.keys.find("made up 3")
    assert caught.value.retry_after == pytest.approx(rig.keys.settings.refetch - 1)
    rig.seconds += rig.keys.settings.refetch
    for number in range(4, 10):
        with pytest.raises(Unavailable):
            await rig.keys.find(f"made up {number}")
    rig.issuer.show("k1")
    rig.seconds += 1
    await rig.keys.refresh()
    assert await rig.keys.find("made up 10") is None, "it answers again"


async def test_a_name_that_was_looked_for_in_vain_uses_up_nobodys_turn(rig: Rig) -> None:
    assert await rig.keys.find("made up") is None
    rig.seconds += 6
    looks = rig.looks()
    assert await rig.keys.find("made up") is None
    assert rig.looks() == looks
    rig.issuer.publish("k2")
    assert await rig.keys.find("k2") is not None


async def test_a_name_is_looked_for_again_after_a_while(rig: Rig) -> None:
    assert await rig.keys.find("late") is None
    rig.issuer.publish("late")
    rig.seconds += UNKNOWN_FOR
    assert await rig.keys.find("late") is not None


async def test_a_refresh_brings_what_was_looked_for_in_vain(rig: Rig) -> None:
    assert await rig.keys.find("late") is None
    rig.issuer.publish("late")
    rig.seconds += 1
    await rig.keys.refresh()
    assert await rig.keys.find("late") is not None


async def test_names_that_were_looked_for_in_vain_take_bounded_memory(rig: Rig) -> None:
    for number in range(UNKNOWN + 10):
        rig.keys._remember(str(number))
    assert len(rig.keys._unknown) == UNKNOWN
    rig.seconds += UNKNOWN_FOR
    rig.keys._remember("one more")
    assert list(rig.keys._unknown) == ["one more"]


async def test_an_endless_name_is_nobodys_and_is_not_remembered(rig: Rig) -> None:
    await rig.keys.refresh()
    looks = rig.looks()
    assert await rig.keys.find("k" * 300) is None
    assert rig.looks() == looks


async def test_so_many_wait_and_one_more_is_told_to_come_again(rig: Rig) -> None:
    rig.issuer.open.clear()

    async def one_more() -> None:
        with pytest.raises(Unavailable):
            await rig.keys.find("k1")
        rig.issuer.open.set()

    *found, _ = await asyncio.gather(*(rig.keys.find("k1") for _ in range(WAITING)), one_more())
    assert all(found)


async def test_a_key_that_is_gone_is_told_and_not_found(rig: Rig) -> None:
    rig.issuer.publish("k2")
    key = await rig.keys.find("k2")
    assert key is not None
    rig.issuer.withdraw("k2")
    rig.seconds += 1
    await rig.keys.refresh()
    assert rig.withdrawn == [1]
    assert not rig.keys.holds(key)
    rig.seconds += 10
    assert await rig.keys.find("k2") is None


async def test_another_key_by_the_same_name_is_told(rig: Rig) -> None:
    before = await rig.keys.find("k1")
    rig.issuer.publish("k1")
    rig.seconds += 1
    await rig.keys.refresh()
    after = await rig.keys.find("k1")
    assert rig.withdrawn == [1]
    assert before is not None
    assert after is not None
    assert before.material != after.material


async def test_an_empty_set_withdraws_everything(rig: Rig) -> None:
    await rig.keys.refresh()
    rig.issuer.show()
    rig.seconds += 1
    await rig.keys.refresh()
    assert rig.withdrawn == [1]
    assert await rig.keys.find("k1") is None


BROKEN = {
    "an error": Page(b"oh", 500),
    "a page for people": Page(b"<html>"),
    "a redirect": Page(b"", 302, {"Location": "/elsewhere"}),
    "too much": Page(b'{"keys":[]}' + b" " * LARGEST),
}


@pytest.mark.parametrize("page", BROKEN.values(), ids=BROKEN)
async def test_while_an_issuer_fails_its_keys_are_believed_for_a_while(rig: Rig, page: Page) -> None:
    await rig.keys.refresh()
    rig.issuer.pages[KEYS] = page
    assert rig.keys.state == "ok"
    rig.seconds += rig.keys.settings.stale
    await rig.keys.refresh()
    assert rig.count("failed") == 1
    assert rig.keys.state == "the keys could not be read, 1 times in a row: its keys are believed for 0 s more"
    assert await rig.keys.find("k1") is not None
    assert rig.withdrawn == []
    rig.seconds += 1
    with pytest.raises(Unavailable):
        await rig.keys.find("k1")
    assert rig.keys.state.endswith("its tokens cannot be checked")


async def test_nobody_is_told_that_a_key_is_unknown_while_its_issuer_does_not_answer(rig: Rig) -> None:
    await rig.keys.refresh()
    rig.issuer.pages[KEYS] = Page(b"", 503)
    rig.seconds += 1
    with pytest.raises(Unavailable) as caught:
        await rig.keys.find("k2")
    assert caught.value.reason == "tokens_unavailable"
    rig.issuer.show()
    rig.issuer.publish("k2")
    rig.seconds += 6
    assert await rig.keys.find("k2") is not None


async def test_an_issuer_that_hangs_is_waited_for_as_long_as_declared(rig: Rig) -> None:
    rig.keys.configure(rig.settings(timeout=0.2))
    rig.issuer.open.clear()
    with pytest.raises(Unavailable):
        await rig.keys.find("k1")


async def test_a_look_that_was_cancelled_is_taken_up_by_the_next_who_waits(rig: Rig) -> None:
    rig.issuer.open.clear()

    async def impatient() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await rig.keys.find("k1")
        rig.issuer.open.set()

    _, found = await asyncio.gather(impatient(), rig.keys.find("k1"))
    assert found is not None


METADATA_OF_OTHERS = {
    "another issuer": {"issuer": "https://elsewhere.example"},
    "no issuer": {"issuer": None},
    "no keys": {"jwks_uri": None},
    "keys on another host": {"jwks_uri": "https://elsewhere.example/keys"},
    "keys on another port": {"jwks_uri": "http://127.0.0.1:1/keys"},
    "keys without TLS": {"jwks_uri": "http://elsewhere.example/keys"},
    "keys in a file": {"jwks_uri": "file:///etc/passwd"},
    "keys in memory of a cloud": {"jwks_uri": "http://169.254.169.254/latest/meta-data"},
    "keys that are a number": {"jwks_uri": 7},
}


@pytest.mark.parametrize("changed", METADATA_OF_OTHERS.values(), ids=METADATA_OF_OTHERS)
async def test_metadata_that_lead_elsewhere_are_not_followed(rig: Rig, changed: dict[str, Any]) -> None:
    said = json.loads(rig.issuer.pages[METADATA].body) | changed
    rig.issuer.pages[METADATA] = Page(json.dumps({k: v for k, v in said.items() if v is not None}).encode())
    with pytest.raises(Unavailable):
        await rig.keys.find("k1")
    assert rig.issuer.asked == [METADATA]
    assert rig.count("failed") == 1


async def test_the_next_look_is_due_before_the_keys_are_old_and_soon_after_a_failure(rig: Rig) -> None:
    assert rig.keys.due
    await rig.keys.refresh()
    assert not rig.keys.due
    rig.seconds += rig.keys.settings.refresh * 0.79
    assert not rig.keys.due
    rig.seconds += rig.keys.settings.refresh * 0.22
    assert rig.keys.due
    rig.issuer.pages[KEYS] = Page(b"", 500)
    pauses = []
    for _ in range(10):
        rig.seconds += 1
        await rig.keys.refresh()
        pauses.append(rig.keys._due - rig.seconds)
    assert pauses[0] <= 1
    assert all(before * 4 >= after for before, after in itertools.pairwise(pauses))
    assert 30 <= pauses[-1] <= 60


async def test_settings_that_change_nothing_keep_what_is_known(rig: Rig) -> None:
    await rig.keys.refresh()
    rig.keys.configure(rig.settings())
    rig.keys.configure(rig.settings(leeway=1, refresh=60))
    assert len(rig.keys) == 1
    assert rig.keys.due
    rig.keys.configure(rig.settings(algorithms=["RS256"]))
    assert len(rig.keys) == 0
    assert rig.keys.patience < 0
