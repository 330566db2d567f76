"""Schemas are released once and never change: every breach that can be planted is found by the generator's check."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from acme.codec.avro import generate
from acme.codec.avro.released import read_lock, sha256
from acme.codec.avro.schema import id_of
from tests.unit.acme.codec.avro.stranger import Stranger, thing

FIRST = thing("string name = 2; Colour colour = 3;", "enum Colour { NONE = 0; RED = 1; }")
SECOND = thing("string name = 2; Colour colour = 3; int64 size = 4;", "enum Colour { NONE = 0; RED = 1; BLUE = 2; }")


def told(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err


def test_an_event_that_changes_gets_a_version_and_the_one_before_stays_byte_for_byte(stranger: Stranger) -> None:
    stranger.release(FIRST)
    before = {path.name: path.read_bytes() for path in stranger.schemas.iterdir()}
    assert before.keys() == {"1.avsc", "1.golden"}
    lines = stranger.lock.read_text().splitlines()
    stranger.release(SECOND)
    after = {path.name: path.read_bytes() for path in stranger.schemas.iterdir()}
    assert after.keys() == {"1.avsc", "1.golden", "2.avsc", "2.golden"}
    assert {name: after[name] for name in before} == before
    assert stranger.lock.read_text().splitlines()[:-1] == lines
    assert stranger.run("--check") == 0


def test_the_lock_says_subject_version_id_and_hashes(stranger: Stranger) -> None:
    stranger.release(FIRST)
    [version] = read_lock(stranger.folder)
    assert (version.subject, version.number, version.message) == (stranger.subject, 1, f"{stranger.name}.v1.Thing")
    assert version.id == id_of(stranger.subject, version.schema())
    assert version.sha256 == sha256((stranger.schemas / "1.avsc").read_bytes())
    assert version.golden == sha256((stranger.schemas / "1.golden").read_bytes())


def test_generating_again_changes_nothing(stranger: Stranger) -> None:
    stranger.release(FIRST)
    before = {path: path.read_bytes() for path in stranger.folder.rglob("*") if path.is_file()}
    stranger.release(FIRST)
    assert {path: path.read_bytes() for path in stranger.folder.rglob("*") if path.is_file()} == before


def test_a_schema_that_comes_back_is_the_version_that_it_was(stranger: Stranger) -> None:
    stranger.release(FIRST)
    stranger.release(SECOND)
    stranger.say(
        FIRST
    )  # a symbol goes with it, from a schema that was released: refused where the versions are compared
    assert stranger.run() == 0
    assert len(read_lock(stranger.folder)) == 2


def test_comments_and_rules_make_no_version(stranger: Stranger) -> None:
    stranger.release(FIRST)
    stranger.release(
        FIRST.replace("string name = 2;", "// Who.\nstring name = 2 [(acme.options.v1.rules) = {max_length: 3}];")
    )
    assert len(read_lock(stranger.folder)) == 1


def test_schemas_of_an_event_that_is_gone_stay(stranger: Stranger) -> None:
    stranger.release(FIRST + thing("").replace("Thing", "Other"))
    stranger.release(FIRST)
    assert {version.message.rpartition(".")[2] for version in read_lock(stranger.folder)} == {"Thing", "Other"}
    assert stranger.run("--check") == 0


def test_a_contract_without_events_has_no_schemas(stranger: Stranger) -> None:
    stranger.release("message Nothing {}")
    assert not stranger.lock.exists()


def test_a_version_that_was_not_generated_is_drift(stranger: Stranger, capsys: pytest.CaptureFixture[str]) -> None:
    stranger.release(FIRST)
    stranger.say(SECOND)
    assert stranger.run("--check") == 1
    lines = told(capsys)
    assert f"missing: schemas/{stranger.subject}/2.avsc" in lines
    assert "differs: schemas.lock" in lines
    assert not (stranger.schemas / "2.avsc").exists()


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (("string name = 2;", "int64 name = 2;"), "name: string cannot be read as long (for a newer reader)"),
        (
            ("string name = 2;", "optional string name = 2;"),
            "name: null cannot be read as string (for an older reader)",
        ),
        (("string name = 2;", "repeated string name = 2;"), "name: string cannot be read as array"),
        (("RED = 1", "ROT = 1"), "Colour: the symbol RED is gone"),
        (("Colour colour = 3;", "string colour = 3;"), "cannot be read as string"),
        (("enum Colour", "enum Color"), "colour: Color is not Colour (for an older reader)"),
    ],
    ids=["type", "presence", "repeated", "symbol renamed", "enum to text", "enum renamed"],
)
def test_a_change_that_breaks_readers_is_refused_and_nothing_is_written(
    stranger: Stranger, capsys: pytest.CaptureFixture[str], change: tuple[str, str], line: str
) -> None:
    stranger.release(FIRST)
    before = {path: path.read_bytes() for path in stranger.folder.rglob("*") if path.is_file()}
    changed = FIRST.replace(*change)
    stranger.say(changed.replace("Colour colour", "Color colour") if "enum Color " in changed else changed)
    for options in ((), ("--check",)):
        assert stranger.run(*options) == 1
        lines = told(capsys)
        assert f"{stranger.subject}: version 2 breaks version 1" in lines
        assert re.sub(rf"{stranger.name}\.v1\.", "", lines).count(line)
    assert {path: path.read_bytes() for path in stranger.folder.rglob("*") if path.is_file()} == before


def test_every_version_counts_and_not_the_last_alone(stranger: Stranger, capsys: pytest.CaptureFixture[str]) -> None:
    stranger.release(thing("string name = 2;"))
    stranger.release(thing(""))
    stranger.say(thing("int64 name = 2;"))
    assert stranger.run() == 1
    assert "version 3 breaks version 1: name: string cannot be read as long" in told(capsys)


def edited(stranger: Stranger, change: Callable[[str], str]) -> None:
    """Edits the first schema, and makes the lock say so: as somebody would who wants to get past the hashes."""
    file = stranger.schemas / "1.avsc"
    file.write_text(change(file.read_text()))
    [version, *_] = read_lock(stranger.folder)
    line = version.line.replace(version.sha256, sha256(file.read_bytes()))
    line = line.replace(str(version.id), str(id_of(version.subject, json.loads(file.read_text()))))
    stranger.lock.write_text(stranger.lock.read_text().replace(version.line, line))


def without_default(text: str) -> str:
    schema = json.loads(text)
    del schema["fields"][1]["default"]
    return json.dumps(schema)


@pytest.mark.parametrize(
    ("plant", "line"),
    [
        (lambda s: (s.schemas / "1.avsc").write_text("{}"), "1.avsc: was changed: a schema that was released never"),
        (lambda s: (s.schemas / "1.avsc").unlink(), "1.avsc: is missing"),
        (lambda s: (s.schemas / "1.golden").write_text("[]"), "1.golden: was changed"),
        (lambda s: (s.schemas / "1.golden").unlink(), "1.golden: is missing"),
        (lambda s: s.lock.write_text(s.lock.read_text().replace(" 1 ", " 1 9")), "is not the id of"),
        (lambda s: s.lock.write_text("nonsense\n"), "schemas.lock: 'nonsense' is no schema"),
        (
            lambda s: edited(s, lambda t: t.replace('"name": "name"', '"name": "title"')),
            "version 1 does not read 1.golden",
        ),
        (lambda s: edited(s, lambda t: t.replace('"RED"', '"ROT"')), "reads something else in 1.golden"),
        (lambda s: edited(s, without_default), "name: is not always there, and has no default"),
    ],
    ids=[
        *("schema edited", "schema gone", "golden edited", "golden gone", "id edited", "lock edited"),
        *("field renamed everywhere", "symbol renamed everywhere", "default removed everywhere"),
    ],
)
def test_what_was_released_is_found_when_it_is_touched(
    stranger: Stranger, capsys: pytest.CaptureFixture[str], plant: Callable[[Stranger], object], line: str
) -> None:
    stranger.release(FIRST)
    stranger.release(thing("Colour colour = 3; int64 size = 4;", "enum Colour { NONE = 0; RED = 1; BLUE = 2; }"))
    assert stranger.run("--check") == 0
    plant(stranger)
    assert stranger.run("--check") == 1
    assert line in told(capsys)


def test_two_schemas_with_one_id_are_refused(
    stranger: Stranger, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate, "id_of", lambda subject, schema: 7)
    stranger.say(FIRST + thing("").replace("Thing", "Other"))
    assert stranger.run() == 1
    assert "has the id 7, which is that of" in told(capsys)


def test_what_is_committed_of_ours_is_whole() -> None:
    home = Path(generate.__file__).parents[2] / "contracts"
    for version in read_lock(home):
        assert sha256(version.text()) == version.sha256
        assert id_of(version.subject, version.schema()) == version.id
