"""What operators call."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from acme_audit import commands

from tests.audits import ADA, LOG, OTHER, REGION, Rig


async def verify(rig: Rig, *arguments: str) -> int:
    with rig.units.outside():
        return await commands.verify_command(rig.resources, arguments)


async def test_verify_says_that_all_is_well(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    await rig.grow(5)
    await rig.sign()
    assert await verify(rig) == 0
    assert capsys.readouterr().out.startswith("ok: 1 logs, 5 records, 1 checkpoints, 1 archived files in ")


async def test_verify_names_the_first_bad_record_for_people_and_programs(
    rig: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    await rig.grow(5)
    await rig.sign()
    await rig.flip("records", "leaf", "sequence >= 2")
    assert await verify(rig) == 1
    said = capsys.readouterr().out
    assert f"tampered    {LOG} record 2 bytes: its bytes are not those that were hashed (and 2 more)\n" in said
    assert await verify(rig, "--json") == 1
    assert json.loads(capsys.readouterr().out)["faults"][0]["sequence"] == 2


async def test_verify_looks_at_what_it_was_told_to(
    rig: Rig, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    await rig.grow(9)
    await rig.grow(3, organization_id=OTHER)
    await rig.sign()
    assert await verify(rig, "--log", LOG, "--from", "2", "--to", "6", "--json") == 0
    assert json.loads(capsys.readouterr().out)["records"] == 5
    assert await verify(rig, "--offline") == 3
    note = await rig.signed.one((await rig.head(f"{REGION}/{OTHER}")).id, 1)
    assert note is not None
    (kept := tmp_path / "checkpoint").write_text(note.note)
    capsys.readouterr()
    assert await verify(rig, "--offline", "--checkpoint", str(kept), "--json") == 0
    assert json.loads(capsys.readouterr().out)["records"] == 3


@pytest.mark.parametrize(
    "arguments", [["--what"], ["--from", "-1"], ["--to", "x"], ["--log", "nobody"], ["--checkpoint", "nowhere"]]
)
async def test_wrong_arguments_are_told_from_faults(
    rig: Rig, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert await verify(rig, *arguments) == commands.WRONG
    said = capsys.readouterr()
    assert "acme audit verify" in said.out + said.err


async def test_help_is_no_fault(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    assert await verify(rig, "--help") == 0
    assert "--offline" in capsys.readouterr().out


async def test_erase_destroys_a_key_and_is_recorded(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    await rig.grow(2)
    with rig.units.outside():
        assert await commands.erase_command(rig.resources, [ADA]) == 0
        assert await commands.erase_command(rig.resources, [ADA]) == 0
        assert await commands.erase_command(rig.resources, []) == commands.WRONG
    assert capsys.readouterr().out.splitlines()[:2] == ["The key is destroyed.", "It was destroyed before."]
    assert await rig.database.fetchval("SELECT count(*) FROM subject_keys WHERE sealed IS NULL") == 1
    assert await rig.database.fetchval("SELECT count(*) FROM acme.outbox WHERE topic = 'acme.audit.log'") == 2


@pytest.mark.parametrize(
    "subject", ["nobody", "usr_1 ", ADA.upper(), f"{ADA}x", "ses_01m821mp30er1rnjnb3atkr46z", "anonymous"]
)
async def test_erase_takes_no_slip_of_the_pen_for_somebody(
    rig: Rig, subject: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with rig.units.outside():
        assert await commands.erase_command(rig.resources, [subject]) == commands.WRONG
    said = capsys.readouterr()
    assert "is neither a user's id" in said.out + said.err
    assert await rig.database.fetchval("SELECT count(*) FROM subject_keys") == 0


async def test_erase_reaches_a_month_of_unknown_callers(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    with rig.units.outside():
        assert await commands.erase_command(rig.resources, ["anonymous/2026-01"]) == 0
    assert capsys.readouterr().out == "The key is destroyed.\n"
