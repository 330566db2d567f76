"""`acme events …` on the data folder of a platform that has run: what it says, and how it ends."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.acme.cli.command import Command, Ended
from tests.visited import TOPIC, WITNESS, poisoned


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a platform that has run, with dead letters: one key with two, another with one."""
    folder = tmp_path_factory.mktemp("events") / "data"

    async def run() -> None:
        async with poisoned(folder):
            pass

    asyncio.run(run())
    return folder


def events(acme: Command, data: Path, *arguments: str) -> Ended:
    return acme("events", *arguments, "--data", str(data))


def letters(acme: Command, data: Path, *arguments: str) -> list[dict[str, Any]]:
    ended = events(acme, data, "dlq", "list", "--json", *arguments)
    assert ended.code == 0, ended.err
    found: list[dict[str, Any]] = json.loads(ended.out)
    return sorted(found, key=lambda each: str(each["event_id"]))


def test_the_list_of_letters_is_a_table_or_json(acme: Command, data: Path) -> None:
    table = events(acme, data, "dlq", "list", "--consumer", WITNESS)
    assert (table.code, len(table.out.splitlines())) == (0, 4)
    assert [each["state"] for each in letters(acme, data)] == ["failed", "waiting", "failed"]
    none = events(acme, data, "dlq", "list", "--key", ":nobody")
    assert (none.code, none.out) == (0, "No dead letters.\n")


def test_a_letter_is_shown_without_its_bytes_unless_they_are_asked_for(acme: Command, data: Path) -> None:
    (bad, *_) = letters(acme, data)
    shown = events(acme, data, "dlq", "show", bad["id"])
    assert "no schema with the id 7 is known here" in shown.out
    assert "raw value" not in shown.out
    raw = json.loads(events(acme, data, "dlq", "show", bad["id"], "--show-pii", "--json").out)
    assert bytes.fromhex(raw["raw_value"]) == b"\0\0\0\0\x07garbage"


def test_a_dry_run_changes_nothing(acme: Command, data: Path) -> None:
    before = letters(acme, data)
    for verb, said in (("replay", "replayed"), ("discard", "discarded")):
        ended = events(acme, data, "dlq", verb, "--all", "--dry-run")
        assert (ended.code, ended.out.splitlines()[-1]) == (0, f"3 letters would be {said}.")
    assert letters(acme, data) == before


def test_a_replay_says_when_it_is_done(acme: Command, data: Path) -> None:
    (bad, *_) = letters(acme, data)
    ended = events(acme, data, "dlq", "replay", bad["id"])
    assert ended.out.splitlines()[-1] == (
        "1 letter to be replayed at the next start: nothing of the platform runs here."
    )
    assert [each["state"] for each in letters(acme, data, "--key", ":usr_bad")] == ["replaying", "replaying"]


def test_what_is_discarded_is_gone(acme: Command, data: Path) -> None:
    ended = events(acme, data, "dlq", "discard", "--key", ":usr_worse", "--json")
    assert [each["event_id"] for each in json.loads(ended.out)["letters"]] == ["evt_4"]
    assert letters(acme, data, "--key", ":usr_worse") == []


def test_which_letters_are_meant_has_to_be_said(acme: Command, data: Path) -> None:
    ended = events(acme, data, "dlq", "discard")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("acme: say which letters: ")


def test_lag_is_shown_by_consumer(acme: Command, data: Path) -> None:
    found = {each["consumer"]: each for each in json.loads(events(acme, data, "lag", "--json").out)}
    assert (found[WITNESS]["topic"], found[WITNESS]["messages"]) == (TOPIC, 0)
    assert WITNESS in events(acme, data, "lag", WITNESS).out


def test_a_consumer_that_is_not_there_is_told_with_those_that_are(acme: Command, data: Path) -> None:
    ended = events(acme, data, "lag", "audit.ear")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "acme: there is no consumer audit.ear; there are: audit.log, audit.witness\n"


def test_the_tail_shows_events_with_what_is_personal_masked(acme: Command, data: Path) -> None:
    lines = events(acme, data, "tail", TOPIC, "--from", "earliest", "--json").out.splitlines()
    shown = {each["id"]: each for each in map(json.loads, lines)}
    assert shown["evt_3"]["event"]["user_id"] == "usr_good"
    assert shown["evt_1"]["error"] == "no schema with the id 7 is known here"
    records = [json.loads(line) for line in events(acme, data, "tail", "acme.audit.log", "--json").out.splitlines()]
    assert {each["event"]["address"] for each in records} == {"(personal)"}
    plain = events(acme, data, "tail", "acme.audit.log", "--json", "--show-pii", "-n", "1").out
    assert json.loads(plain)["event"]["address"] == ""
    assert len(events(acme, data, "tail", TOPIC, "-n", "2").out.splitlines()) == 2


def test_a_topic_that_is_not_there_is_told(acme: Command, data: Path) -> None:
    ended = events(acme, data, "tail", "acme.nothing")
    assert (ended.code, ended.err) == (1, "acme: there is no topic acme.nothing\n")


def test_a_reset_is_shown_first_and_then_done(acme: Command, data: Path) -> None:
    shown = events(acme, data, "reset", WITNESS, "--to", "earliest", "--dry-run")
    assert shown.code == 0
    assert " would go from " in shown.out
    done = events(acme, data, "reset", WITNESS, "--to", "earliest")
    assert done.out == shown.out.replace("would go", "goes")
    again = events(acme, data, "reset", WITNESS, "--to", "earliest")
    assert (again.code, again.out) == (0, "It is there already.\n")


def test_a_folder_that_is_none_is_told(acme: Command, tmp_path: Path) -> None:
    ended = events(acme, tmp_path / "nothing", "lag")
    assert (ended.code, ended.out) == (1, "")
    assert "is not a data folder of the platform" in ended.err
