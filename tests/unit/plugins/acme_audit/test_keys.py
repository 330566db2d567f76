"""Keys of people, and what they encrypt."""

from __future__ import annotations

import asyncio

import pytest
from acme_audit.keys import SubjectKeys, seal, subject_of, unseal
from acme_audit.store import SubjectStore
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from acme.contracts.audit.v1 import AuditRecord
from tests.audits import Rig

KEY = AESSIV.generate_key(512)


@pytest.fixture
def keys(rig: Rig) -> SubjectKeys:
    return SubjectKeys(SubjectStore(rig.database), rig.cipher, rig.clock)


def test_what_is_sealed_opens_again_and_is_the_same_every_time() -> None:
    kept = seal(KEY, "aud_1", "address", "192.0.2.1")
    assert kept == seal(KEY, "aud_1", "address", "192.0.2.1")
    assert kept.startswith("siv1:")
    assert unseal(KEY, "aud_1", "address", kept) == "192.0.2.1"


@pytest.mark.parametrize(
    ("key", "record", "field", "flip"),
    [
        (AESSIV.generate_key(512), "aud_1", "address", False),
        (KEY, "aud_2", "address", False),
        (KEY, "aud_1", "other", False),
        (KEY, "aud_1", "address", True),
    ],
    ids=["another key", "another record", "another field", "altered"],
)
def test_what_belongs_elsewhere_or_was_altered_does_not_open(key: bytes, record: str, field: str, flip: bool) -> None:
    kept = seal(KEY, "aud_1", "address", "192.0.2.1")
    kept = "siv1:B" + kept[6:] if flip and kept[5] != "B" else "siv1:C" + kept[6:] if flip else kept
    with pytest.raises(ValueError, match="not what was sealed"):
        unseal(key, record, field, kept)


def test_nothing_is_sealed_without_a_key_and_nothing_opens() -> None:
    assert seal(None, "aud_1", "address", "192.0.2.1") == ""
    assert seal(KEY, "aud_1", "address", "") == ""
    assert unseal(None, "aud_1", "address", seal(KEY, "aud_1", "address", "x")) == ""
    assert unseal(KEY, "aud_1", "address", "") == ""


def test_somebody_unknown_shares_the_key_of_the_month(rig: Rig) -> None:
    assert subject_of(rig.record(subject_id="usr_1")) == "usr_1"
    record = rig.record(subject_id="")
    assert subject_of(record) == f"anonymous/{record.occurred_at:%Y-%m}"
    assert subject_of(AuditRecord()) == "anonymous/1970-01"


async def test_a_key_is_made_at_its_first_use_and_stays(keys: SubjectKeys) -> None:
    assert await keys.known(["usr_1"]) == {}
    made = await keys.needed(["usr_1", "usr_2", "usr_1"])
    assert len({*made.values()}) == 2
    assert await keys.needed(["usr_1"]) == await keys.known(["usr_1"]) == {"usr_1": made["usr_1"]}


async def test_all_who_need_a_key_at_once_get_the_same(keys: SubjectKeys) -> None:
    names = [f"usr_{number}" for number in range(5)]
    found = await asyncio.gather(*(keys.needed(names if turn % 2 else names[::-1]) for turn in range(4)))
    assert all(one == found[0] for one in found)


async def test_a_destroyed_key_stays_destroyed(keys: SubjectKeys, rig: Rig) -> None:
    await keys.needed(["usr_1"])
    assert await keys.destroy("usr_1")
    assert not await keys.destroy("usr_1")
    assert await keys.needed(["usr_1"]) == {"usr_1": None}
    assert await rig.database.fetchval("SELECT count(*) FROM subject_keys WHERE sealed IS NOT NULL") == 0


async def test_who_never_had_a_key_gets_none_after_its_erasure(keys: SubjectKeys) -> None:
    assert await keys.destroy("usr_1")
    assert await keys.needed(["usr_1"]) == {"usr_1": None}


async def test_a_key_in_the_row_of_another_does_not_open(keys: SubjectKeys, rig: Rig) -> None:
    await keys.needed(["usr_1", "usr_2"])
    await rig.database.execute(
        "UPDATE subject_keys SET sealed = (SELECT sealed FROM subject_keys WHERE subject = 'usr_1') WHERE subject = 'usr_2'"
    )
    with pytest.raises(ValueError, match="sealed"):
        await keys.known(["usr_2"])
