"""What is released is what the lock says, and every event has to be in it."""

from __future__ import annotations

import pytest

from acme.codec.avro.released import Released, read_lock
from acme.contract import ContractError, load
from tests.unit.acme.codec.avro.stranger import Stranger, thing

OURS = load("acme.contracts")


def test_versions_are_found_by_subject_and_by_id(stranger: Stranger) -> None:
    stranger.release(thing(""))
    stranger.release(thing("string name = 2;"))
    contracts = stranger.contracts()
    released = Released(contracts)
    first, second = released.subjects[stranger.subject]
    assert (first.number, second.number) == (1, 2)
    assert released.of_id(first.id) == first
    assert released.of_id(0) is None
    assert released.current(stranger.message(contracts)) == second
    assert released.subjects.keys() >= {"acme.audit.log-acme.audit.v1.AuditRecord", stranger.subject}


def test_every_event_of_ours_is_released_as_its_contract_says() -> None:
    released = Released(OURS)
    for message in OURS.messages.values():
        if message.event is not None:
            assert released.current(message).message == message.name
    with pytest.raises(KeyError):
        released.current(OURS.messages["acme.projects.v1.Project"])


@pytest.mark.parametrize("after", ["no lock", "another contract"])
def test_an_event_that_is_not_released_is_the_fault_of_its_package(stranger: Stranger, after: str) -> None:
    stranger.release(thing(""))
    if after == "no lock":
        stranger.lock.unlink()
    else:
        before = stranger.lock.read_text()
        stranger.release(thing("string name = 2;"))
        stranger.lock.write_text(before)
    with pytest.raises(
        ContractError, match=r"Thing is not there as its contract has it: run `python -m acme\.codegen`"
    ) as e:
        Released(stranger.contracts())
    assert e.value.package == stranger.name


def test_two_schemas_with_one_id_stop_a_start(stranger: Stranger) -> None:
    stranger.release(thing(""))
    ours = next(iter(read_lock_of_ours()))
    line = f"{stranger.subject} 2 {ours} 00 00\n"
    stranger.lock.write_text(stranger.lock.read_text() + line)
    with pytest.raises(ContractError, match=f"has the id {ours}, which is that of acme") as raised:
        Released(stranger.contracts())
    assert raised.value.package == stranger.name


def read_lock_of_ours() -> list[int]:
    """Ids of our own schemas."""
    return [versions[0].id for versions in Released(OURS).subjects.values()]


def test_a_line_that_is_none_is_the_fault_of_its_package(stranger: Stranger) -> None:
    stranger.release(thing(""))
    stranger.lock.write_text("a b c\n")
    with pytest.raises(ContractError, match="'a b c' is no schema"):
        Released(stranger.contracts())
    with pytest.raises(ValueError, match="'a b c' is no schema"):
        read_lock(stranger.folder)
