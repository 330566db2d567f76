"""The bound of a message's size is never below what the wire takes, and cheap messages are never encoded."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acme.codec.wire import Wire
from acme.contract import Message
from acme.contracts.projects.v1 import CreateProjectRequest, ListProjectsReply, Project, UpdateProjectRequest
from acme.dispatch.size import Sizes
from tests.services import CONTRACTS

WIRE = Wire(CONTRACTS)
SIZES = Sizes()
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
PROJECTS = st.builds(
    Project,
    id=TEXT,
    name=TEXT,
    description=TEXT,
    labels=st.dictionaries(TEXT, TEXT, max_size=5),
    archived=st.booleans(),
    created_at=st.none() | st.datetimes(timezones=st.just(UTC)),
    version=st.integers(-(2**63), 2**63 - 1),
)


def of(cls: type) -> Message:
    return CONTRACTS.message_of(cls)


@given(st.lists(PROJECTS, max_size=5), TEXT)
def test_no_message_is_larger_than_its_bound(projects: list[Project], token: str) -> None:
    message = of(ListProjectsReply)
    reply = ListProjectsReply(projects=projects, next_page_token=token)
    assert len(WIRE.encoder(message)(reply)) <= SIZES.function(message)(reply)


@pytest.mark.parametrize("message", CONTRACTS.messages.values(), ids=lambda message: message.name)
def test_every_message_of_the_contracts_has_a_bound(message: Message) -> None:
    if not message.name.startswith("google."):
        assert SIZES.function(message)(message.cls()) >= 0


@pytest.mark.parametrize(
    ("message", "size"),
    [
        (Project(name="x" * 1000), 1000),
        (Project(labels={"a" * 500: "b" * 500}), 1000),
        (CreateProjectRequest(description="ü" * 500), 1000),
        (UpdateProjectRequest(if_match=2**60), 10),
        (Project(created_at=datetime(2026, 1, 1, tzinfo=UTC)), 6),
    ],
)
def test_a_bound_covers_every_kind_of_field(message: Any, size: int) -> None:
    assert SIZES.function(of(type(message)))(message) >= len(WIRE.encoder(of(type(message)))(message)) >= size


def test_only_what_may_be_too_large_is_encoded() -> None:
    encoded = []

    def encode(message: Any) -> bytes:
        encoded.append(message)
        return WIRE.encoder(of(Project))(message)

    exceeds = SIZES.exceeds(of(Project), 10_000, encode)
    assert not exceeds(Project(name="x" * 100))
    assert encoded == []
    assert not exceeds(Project(name="x" * 9_000))
    assert exceeds(Project(name="x" * 10_000))
    assert len(encoded) == 2
