"""Mails on a terminal: whoever wrote them does not get to steer it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from acme.cli.mailbox import print_json, print_list
from acme.runtime.datafolder import KeptMail

MAIL = KeptMail("dlv_1", datetime(2026, 1, 1, 12, tzinfo=UTC), "ada@example.com", "Wel\x1b[2Jcome", "Zeile\r\nü\x07\n")


def test_a_mail_is_shown_with_its_head_and_text(capsys: pytest.CaptureFixture[str]) -> None:
    print_list([MAIL])
    assert capsys.readouterr().out.splitlines() == [
        "To:      ada@example.com",
        "Date:    2026-01-01 12:00:00 UTC",
        "Subject: Wel�[2Jcome",
        "",
        "Zeile",
        "ü�",
    ]


def test_mails_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    print_list([MAIL, MAIL])
    assert capsys.readouterr().out.count("─" * 72) == 1


def test_json_keeps_everything(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    print_json([MAIL])
    out = capsysbinary.readouterr().out
    assert b'"subject": "Wel\\u001b[2Jcome"' in out
    assert out.endswith(b"]\n")
