"""What `acme events` shows does not steer a terminal."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from acme.cli import event_views
from acme.ports import TopicPartition
from acme.runtime.operating import Letter, Shown

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LETTER = Letter("users:1", "users.ear", "evt_1", "a.B", "t", 3, 4, "k\x1b[2J", "waiting", "", "", 0, 0, AT, None)


def test_a_line_holds_no_control_characters() -> None:
    line = event_views.text_line(Shown("t", 1, 2, AT, type="a.B", key="k\x1b[2J", event={"name": "x\ny"}))
    assert line == '2026-01-02 03:04:05 t[1]@2 a.B k�[2J {"name":"x\\ny"}'
    assert event_views.text_line(Shown("t", 1, 2, AT, error="not\rreadable")).endswith("not�readable")


def test_letters_are_shown_without_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    event_views.print_letters([LETTER], as_json=False)
    event_views.print_changed([LETTER], "replayed", running=True, dry_run=False, as_json=False)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert out.endswith("1 letter to be replayed within seconds.\n")


def test_nothing_is_said_to_be_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    event_views.print_lag([], as_json=False)
    event_views.print_letters([], as_json=False)
    event_views.print_changed([], "discarded", running=True, dry_run=False, as_json=False)
    event_views.print_reset([], dry_run=False, as_json=False)
    assert capsys.readouterr().out.splitlines() == [
        "No plugin has a consumer.",
        "No dead letters.",
        "No letter is meant.",
        "It is there already.",
    ]


def test_a_reset_is_told_by_partition(capsys: pytest.CaptureFixture[str]) -> None:
    event_views.print_reset([(TopicPartition("t", 1), 5, 0)], dry_run=True, as_json=False)
    assert capsys.readouterr().out == "t[1] would go from 5 to 0\n"
