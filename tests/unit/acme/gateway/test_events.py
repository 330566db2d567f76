"""Events, as they are written."""

from __future__ import annotations

import json
from typing import Any

import pytest

from acme.codec.json import Json
from acme.contract import Contracts
from acme.gateway import events
from acme.gateway.events import Frames
from tests import blobs


@pytest.fixture(name="ticks")
def _ticks(trial: Contracts) -> Frames:
    return Frames(trial.messages["blobs.v1.Tick"], Json(trial))


def tick(**fields: Any) -> Any:
    return blobs.module().Tick(**fields)


def test_a_message_is_its_id_and_one_line_of_json(ticks: Frames) -> None:
    frame = ticks.of(tick(id="a-1", text="two\nlines\r\u2028and é"))
    name, data, *rest = frame.split(b"\n")
    assert (name, rest) == (b"id: a-1", [b"", b""])
    assert json.loads(data.removeprefix(b"data: "))["text"] == "two\nlines\r\u2028and é"


def test_a_message_without_an_id_leaves_the_last_one_as_it_was(ticks: Frames) -> None:
    assert ticks.of(tick(text="a")) == b'data: {"id":"","text":"a"}\n\n'


@pytest.mark.parametrize("name", ["a\nevent: end", "a\rb", "a\0b"])
def test_an_id_that_would_be_another_line_is_never_sent(ticks: Frames, name: str) -> None:
    with pytest.raises(ValueError, match="control characters"):
        ticks.of(tick(id=name))


def test_messages_whose_contract_names_no_id_have_none(trial: Contracts) -> None:
    frames = Frames(trial.messages["blobs.v1.Number"], Json(trial))
    assert frames.of(blobs.module().Number(value=5)).startswith(b'data: {"value":5')


def test_what_is_no_message_is_on_lines_of_its_own() -> None:
    for frame in (events.HEARTBEAT, events.END, events.again(500), events.ended(b"{}")):
        assert frame.endswith(b"\n\n")
        assert b"\n\n" not in frame[:-1]
    assert events.again(500) == b"retry: 500\n\n"
