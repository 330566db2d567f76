"""Events in Confluent's wire format: written with one schema, read as the contract is today."""

from __future__ import annotations

import json
import struct
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acme.codec.avro import Avro, Undecodable, UnknownSchema, Upcaster
from acme.codec.avro.released import read_lock
from acme.contract import Contracts, load
from acme.contracts.projects.v1 import Project, ProjectCreated
from acme.contracts.users.v1 import UserUpdated
from tests import neutral
from tests.unit.acme.codec.avro.stranger import Stranger, thing

OURS = load("acme.contracts")
EVENTS = sorted((m for m in OURS.messages.values() if m.event is not None), key=lambda m: m.name)
OUR_AVRO = Avro(OURS)
CREATED = OURS.message_of(ProjectCreated)


@pytest.mark.soak
@given(data=st.data())
def test_every_event_of_ours_comes_back_equal(data: st.DataObject) -> None:
    m = data.draw(st.sampled_from(EVENTS))
    event = neutral.ours(m, data.draw(neutral.plain_messages(m, for_json=True)))
    payload = OUR_AVRO.encoder(m)(event)
    assert OUR_AVRO.decode(payload) == event
    assert OUR_AVRO.encoder(m)(OUR_AVRO.decode(payload)) == payload


def test_a_payload_is_a_zero_byte_the_id_in_four_and_avro() -> None:
    made = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    payload = OUR_AVRO.encoder(OURS.message_of(UserUpdated))(UserUpdated(user_id="usr_1", version=-2, updated_at=made))
    version = OUR_AVRO.released.current(OURS.message_of(UserUpdated))
    assert payload[:5] == b"\x00" + version.id.to_bytes(4, "big")
    assert OUR_AVRO.id_of(payload) == version.id
    assert OUR_AVRO.message_of(version.id) is OURS.message_of(UserUpdated)
    assert payload[5:].hex() == "0a7573725f310302eabcbae5ded7a306"  # by hand: length 5, "usr_1", -2, branch 1, µs


def test_the_schema_for_other_tools_keeps_its_meanings() -> None:
    assert '"logicalType": "timestamp-micros"' in json.dumps(OUR_AVRO.schema(CREATED))
    event = ProjectCreated(project_id="prj_1", project=Project(name="One"))
    assert OUR_AVRO.datum(CREATED)(event)["project"][1]["name"] == "One"


def test_what_is_wrong_with_a_value_is_said_with_its_field() -> None:
    with pytest.raises(ValueError, match=r"Project\.version must be from"):
        OUR_AVRO.encoder(CREATED)(ProjectCreated(project_id="prj_1", project=Project(version=2**63)))
    with pytest.raises(ValueError, match="a value of the wrong type"):
        OUR_AVRO.encoder(CREATED)(ProjectCreated(project_id="prj_1", project="no project"))  # type: ignore[arg-type]  # that is tested


def test_an_id_that_nobody_knows_is_named() -> None:
    with pytest.raises(UnknownSchema, match="no schema with the id 5 is known here") as raised:
        OUR_AVRO.decode(b"\x00\x00\x00\x00\x05rest")
    assert raised.value.schema_id == 5
    with pytest.raises(UnknownSchema):
        OUR_AVRO.decode(b"\x00\xff\xff\xff\xff")


@pytest.mark.parametrize("payload", [b"", b"\x00\x00\x00\x00", b"\x01\x00\x00\x00\x05", b'{"json": true}'])
def test_what_does_not_begin_as_a_payload_is_undecodable(payload: bytes) -> None:
    with pytest.raises(Undecodable, match="does not begin") as raised:
        OUR_AVRO.decode(payload)
    assert not isinstance(raised.value, UnknownSchema)


@given(data=st.data())
def test_garbage_is_undecodable_or_an_event_and_nothing_else(data: st.DataObject) -> None:
    m = data.draw(st.sampled_from(EVENTS))
    prefix = struct.pack(">bi", 0, OUR_AVRO.released.current(m).id)
    try:
        made: Any = OUR_AVRO.decode(prefix + data.draw(st.binary(max_size=200)))
    except Undecodable:
        return
    assert type(made) is m.cls


def test_bytes_that_go_on_or_end_early_are_undecodable() -> None:
    payload = OUR_AVRO.encoder(CREATED)(ProjectCreated(project_id="prj_1", project=Project(name="One")))
    with pytest.raises(Undecodable, match="goes on after a"):
        OUR_AVRO.decode(payload + b"\x00")
    for length in range(5, len(payload)):
        with pytest.raises(Undecodable):
            OUR_AVRO.decode(payload[:length])


def test_an_error_of_decoding_holds_nothing_of_the_payload() -> None:
    payload = OUR_AVRO.encoder(CREATED)(ProjectCreated(project_id="SECRET"))
    with pytest.raises(Undecodable) as raised:
        OUR_AVRO.decode(payload.replace(b"SECRET", b"SECRE\xff"))
    assert "SECRE" not in repr(raised.value)
    assert raised.value.__suppress_context__


# ---- several versions ---------------------------------------------------------------------------------------------------

COLOURS = "enum Colour { NONE = 0; RED = 1; %s }"
VERSIONS = (
    thing("string name = 2;"),
    thing("string name = 2; string title = 3; Colour colour = 4;", COLOURS % ""),
    thing("string name = 2; string title = 3; Colour colour = 4; optional string shout = 5;", COLOURS % "BLUE = 2;"),
)


@pytest.fixture
def evolved(stranger: Stranger) -> tuple[Stranger, Contracts]:
    """Contracts in their third version."""
    for version in VERSIONS:
        stranger.release(version)
    return stranger, stranger.contracts()


def written(stranger: Stranger, number: int) -> bytes:
    """The full example that a version has written, as a payload."""
    version = read_lock(stranger.folder)[number - 1]
    example = json.loads((stranger.schemas / f"{number}.golden").read_text())[1]
    return struct.pack(">bi", 0, version.id) + bytes.fromhex(example["avro"])


def test_what_old_versions_wrote_is_read_as_the_contract_is_today(evolved: tuple[Stranger, Contracts]) -> None:
    stranger, contracts = evolved
    avro, cls = Avro(contracts), stranger.message(contracts).cls
    assert avro.decode(written(stranger, 1)) == cls(id="id é", name="name é")
    assert avro.decode(written(stranger, 2)) == cls(id="id é", name="name é", title="title é", colour=1)
    assert avro.decode(written(stranger, 3)).shout == "shout é"


def test_what_a_newer_version_wrote_is_unknown_until_its_schema_is_there(stranger: Stranger) -> None:
    stranger.release(VERSIONS[0])
    contracts = stranger.contracts()
    before = Avro(contracts)
    stranger.release(VERSIONS[1])
    assert before.decode(written(stranger, 1)).name == "name é"
    with pytest.raises(UnknownSchema):
        before.decode(written(stranger, 2))


def titled(data: dict[str, Any]) -> dict[str, Any]:
    return {"id": data["id"], "name": data["name"], "title": data["name"].upper(), "colour": "RED"}


def shouted(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "shout": f"{data['title']} {data['colour']}!"}


def test_upcasters_are_a_chain_from_version_to_version(evolved: tuple[Stranger, Contracts]) -> None:
    stranger, contracts = evolved
    cls = stranger.message(contracts).cls
    avro = Avro(contracts, [Upcaster(cls, 2, shouted), Upcaster(cls, 1, titled)])
    first = cls(id="id é", name="name é", title="NAME É", colour=1, shout="NAME É RED!")
    assert avro.decode(written(stranger, 1)) == first
    assert avro.decode(written(stranger, 2)).shout == "title é RED!"
    assert avro.decode(written(stranger, 3)).shout == "shout é"


def test_a_version_without_an_upcaster_is_passed_over(evolved: tuple[Stranger, Contracts]) -> None:
    stranger, contracts = evolved
    avro = Avro(contracts, [Upcaster(stranger.message(contracts).cls, 2, shouted)])
    assert avro.decode(written(stranger, 1)).shout == " NONE!", "title and colour have their defaults"


def test_an_upcaster_that_fails_makes_the_event_undecodable(evolved: tuple[Stranger, Contracts]) -> None:
    stranger, contracts = evolved
    avro = Avro(contracts, [Upcaster(stranger.message(contracts).cls, 1, lambda data: {"id": data["absent"]})])
    with pytest.raises(Undecodable, match="of version 1"):
        avro.decode(written(stranger, 1))


def test_an_upcaster_has_to_lead_somewhere_and_to_be_the_only_one(evolved: tuple[Stranger, Contracts]) -> None:
    stranger, contracts = evolved
    cls, avro = stranger.message(contracts).cls, Avro(contracts)
    for version in (0, 3):
        with pytest.raises(ValueError, match=f"no version after {version}"):
            avro.upcast([Upcaster(cls, version, titled)])
    with pytest.raises(ValueError, match="two upcasters from version 1"):
        avro.upcast([Upcaster(cls, 1, titled), Upcaster(cls, 1, shouted)])
    with pytest.raises(ValueError, match="is no event"):
        avro.upcast([Upcaster(Project, 1, titled)])
    with pytest.raises(KeyError):
        OUR_AVRO.upcast([Upcaster(cls, 1, titled)])
    assert avro.decode(written(stranger, 1)).title == "", "none was added"


def test_a_contract_that_went_back_is_written_and_read_with_the_schema_that_it_was(stranger: Stranger) -> None:
    for version in (*VERSIONS, VERSIONS[1]):
        stranger.release(version)
    contracts = stranger.contracts()
    avro, message = Avro(contracts), stranger.message(contracts)
    assert avro.released.current(message).number == 2
    assert avro.decode(written(stranger, 3)).colour == 0, "a symbol that it does not know is the zero"
