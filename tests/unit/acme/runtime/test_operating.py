"""What operators do about events: to a platform that runs, and to one that does not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from acme.contracts.audit.v1 import AuditRecord, Category
from acme.contracts.users.v1 import UserCreated
from acme.ports import UnknownTopic
from acme.runtime import operating
from acme.runtime.operating import MASK, Decoded, Letter, Which, mask
from acme.runtime.visiting import CannotVisit, House, visit
from acme.testing.outbox import Outbox
from tests.services import CONTRACTS
from tests.visited import TOPIC, WITNESS, event, poisoned, settings
from tests.waiting import until


@pytest.fixture(scope="module")
async def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a platform that has run."""
    folder = tmp_path_factory.mktemp("operated") / "data"
    async with poisoned(folder) as (_, house):
        assert house.running
        # As long as it runs, its consumers cannot be reset, and what is replayed is replayed at once.
        bus = operating.the_bus(house)
        with pytest.raises(CannotVisit, match="runs: stop the processes that host audit first"):
            await operating.reset(house, bus, WITNESS, "earliest", "ann", again=False, dry_run=False)
        worse = [each for each in await operating.list_letters(house, Which()) if each.key == ":usr_worse"]
        await operating.order_replay(house, worse, "ann")

        async def failed_again() -> bool:
            (each,) = await operating.list_letters(house, Which((worse[0].id,)))
            return each.replays == 1

        await until(failed_again, 10)
    return folder


@pytest.fixture
async def house(data: Path) -> AsyncIterator[House]:
    """A visit while nothing runs."""
    async with visit(settings(data)) as house:
        assert not house.running
        yield house


async def letters(house: House) -> list[Letter]:
    """All of them, by event; numbers follow the partitions, which go on beside each other."""
    return sorted(await operating.list_letters(house, Which()), key=lambda each: each.event_id)


async def audited(house: House) -> AuditRecord:
    """The last audit record that waits for the platform's next start."""
    visited = await house.plugin("audit")
    records, _ = await Outbox(house.contracts).records(visited.database)
    last: AuditRecord = records[-1]
    return last


async def test_letters_are_listed_with_how_they_failed(house: House) -> None:
    bad, waits, worse = await letters(house)
    assert (bad.event_id, bad.state, bad.error, bad.attempts) == ("evt_1", "failed", "UnknownSchema", 1)
    assert (waits.event_id, waits.state, waits.error) == ("evt_2", "waiting", "")
    assert (worse.event_id, worse.error, worse.replays) == ("evt_4", "UnknownSchema", 1)
    assert {each.consumer for each in (bad, waits, worse)} == {WITNESS}
    assert {each.topic for each in (bad, waits, worse)} == {TOPIC}


async def test_letters_are_chosen_by_number_key_and_fingerprint(house: House) -> None:
    bad, waits, _ = await letters(house)
    assert await operating.list_letters(house, Which((waits.id,))) == [waits]
    assert await operating.list_letters(house, Which(key=":usr_bad")) == [bad, waits]
    assert await operating.list_letters(house, Which(key=":usr_bad", fingerprint=bad.fingerprint)) == [bad]
    assert await operating.list_letters(house, Which(consumer="audit.log")) == []


@pytest.mark.parametrize(
    ("which", "said"),
    [
        (Which(("audit:99999",)), "there is no letter audit:99999"),
        (Which(("nobody:1",)), "there is no letter nobody:1"),
        (Which(("audit",)), "PLUGIN:NUMBER is expected"),
        (Which(("audit:99999999999999999999",)), "PLUGIN:NUMBER is expected"),
        (Which(consumer="audit.ear"), "there is no consumer audit.ear; there are: audit.log, audit.witness"),
    ],
)
async def test_what_is_not_there_is_said(house: House, which: Which, said: str) -> None:
    with pytest.raises(CannotVisit, match=said):
        await operating.list_letters(house, which)


async def test_a_letter_shows_its_record_as_it_came(house: House) -> None:
    (first, *_) = await letters(house)
    letter, record = await operating.show_letter(house, first.id)
    assert letter == first
    assert record.value == b"\0\0\0\0\x07garbage"
    assert dict(record.headers)["acme_request_id"] == b"req_1"
    assert Decoded(house.contracts, house.avro).show(record).error == "no schema with the id 7 is known here"


async def test_an_order_is_kept_until_the_plugin_runs_and_leaves_an_audit_record(house: House) -> None:
    (first, *_) = await letters(house)
    await operating.order_replay(house, [first], "ann")
    states = [each.state for each in await operating.list_letters(house, Which(key=":usr_bad"))]
    assert states == ["replaying", "replaying"]
    said = await audited(house)
    assert (said.action, said.category, said.service) == ("events.dlq.replay", Category.OPERATOR, "audit")
    assert said.actor is not None
    assert (said.actor.kind, said.actor.id) == ("operator", "ann")
    assert [target.id for target in said.targets] == [WITNESS, "evt_1"]


async def test_what_is_discarded_is_gone_and_leaves_an_audit_record(house: House) -> None:
    worse = await operating.list_letters(house, Which(key=":usr_worse"))
    await operating.discard(house, worse, "ann")
    assert await operating.list_letters(house, Which(key=":usr_worse")) == []
    assert (await audited(house)).action == "events.dlq.discard"


async def test_lag_counts_what_a_consumer_has_not_heard(house: House) -> None:
    bus = operating.the_bus(house)
    before = {each.consumer: each for each in await operating.lag(house, bus)}
    assert before[WITNESS].messages == 0
    await bus.append("tests", [event(house, number, "usr_new") for number in (10, 11, 12)])
    (behind,) = await operating.lag(house, bus, WITNESS)
    assert (behind.topic, behind.messages) == (TOPIC, 3)
    assert behind.letters == len(await operating.list_letters(house, Which(consumer=WITNESS)))


async def test_a_reset_is_shown_before_it_is_done_and_leaves_an_audit_record(house: House) -> None:
    bus, visited = operating.the_bus(house), await house.plugin("audit")
    count = "SELECT count(*) FROM acme.inbox WHERE consumer = $1"
    kept, heard = len(await operating.list_letters(house, Which())), await visited.database.fetchval(count, WITNESS)
    shown = await operating.reset(house, bus, WITNESS, "earliest", "ann", again=True, dry_run=True)
    assert shown
    assert await visited.database.fetchval(count, WITNESS) == heard > kept
    assert await operating.reset(house, bus, WITNESS, "earliest", "ann", again=True, dry_run=False) == shown
    assert set((await bus.committed(WITNESS)).values()) == {0}
    assert await visited.database.fetchval(count, WITNESS) == kept  # letters are not handled behind their own back
    said = await audited(house)
    assert (said.action, said.changes) == ("events.reset", ["to earliest", "again"])
    assert await operating.reset(house, bus, WITNESS, "earliest", "ann", again=False, dry_run=False) == []


async def test_the_tail_is_the_last_few_records_by_time_then_those_that_come(house: House) -> None:
    bus = operating.the_bus(house)
    everything = [each async for each in operating.tail(bus, [TOPIC], count=None, follow=False)]
    assert everything == sorted(everything, key=lambda each: each.timestamp)
    last = [each async for each in operating.tail(bus, [TOPIC], count=2, follow=False)]
    assert last == everything[-2:]
    with pytest.raises(UnknownTopic):
        _ = [each async for each in operating.tail(bus, ["acme.nothing"], count=2, follow=False)]
    following = operating.tail(bus, [TOPIC], count=1, follow=True, poll=0.01)
    assert await anext(following) == everything[-1]
    await bus.append("tests", [event(house, 20, "usr_new")])
    assert dict((await anext(following)).headers)["ce_id"] == b"evt_20"
    await following.aclose()  # type: ignore[attr-defined]  # it is a generator


def test_what_is_personal_is_masked_however_deep_it_is() -> None:
    audit = CONTRACTS.message_of(AuditRecord)
    assert mask({"id": "aud_1", "address": "192.0.2.1"}, audit) == {"id": "aud_1", "address": MASK}
    reply = CONTRACTS.messages["acme.audit.v1.ListAuditRecordsReply"]
    shown = mask({"records": [{"sequence": 1, "record": {"address": "192.0.2.1", "actor": None}}]}, reply)
    assert shown == {"records": [{"sequence": 1, "record": {"address": MASK, "actor": None}}]}
    assert mask({"user_id": "usr_1"}, CONTRACTS.message_of(UserCreated)) == {"user_id": "usr_1"}
