"""The audit log is archived by the platform as it runs, killed and started again, and is what the database holds."""

from __future__ import annotations

import asyncio
import json
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from acme import Archived, archived
from acme.contracts.audit.v1 import AuditRecord
from acme.drivers.files import Files
from tests.system.running import ACME, PASSWORD, Platform, call, wait_for

QUICK = {"ACME_ARCHIVE__IDLE": "1", "ACME_ARCHIVE__EVENTS": "4"}


@pytest.mark.drill
def test_what_was_recorded_is_archived_once_over_kills_and_starts(tmp_path: Path) -> None:
    platform = Platform(tmp_path, environ=QUICK)
    names = [f"ann{number}@example.com" for number in range(24)]
    for start in (0, 8, 16):
        platform.start()
        for email in names[start : start + 8]:
            body = {"email": email, "password": PASSWORD, "display_name": "Ann"}
            assert call(platform.api, "POST", "/v1/users", body).status == 202
        wait_for("some files", partial(archives, platform, start // 2 + 4), limit=60)
        platform.kill()
    platform.start()
    try:
        wait_for("every record", partial(archives, platform, len(names)), limit=60)
        records = [each.message for each in asyncio.run(read(platform)) if each.message is not None]
        assert len({record.id for record in records}) == len(records) == counted(platform)
        assert sum(record.action.endswith("CreateUser") for record in records) == len(names)
        assert all(record.address.startswith("siv1:") for record in records if record.address)
        report = verified(platform)
        assert report["archived"] > 0
        assert [fault for fault in report["faults"] if fault["status"] != "unanchored"] == []
    finally:
        platform.stop()


async def read(platform: Platform) -> list[Archived[AuditRecord]]:
    """Reading proves."""
    return [each async for each in archived(Files(platform.data / "archive"), AuditRecord)]


def verified(platform: Platform) -> Any:
    """What `acme audit verify` finds."""
    command = [ACME, "audit", "verify", "--json", "--data", str(platform.data)]
    said = subprocess.run(
        command, cwd=platform.folder, env=platform.environ, capture_output=True, text=True, timeout=60, check=False
    )
    return json.loads(said.stdout.splitlines()[-1])


def archives(platform: Platform, least: int) -> bool:
    """Whether so many records are archived."""
    return counted(platform) >= least


def counted(platform: Platform) -> int:
    """Records that the manifests count."""
    folder = platform.data / "archive" / "v1" / "topic=acme.audit.log"
    return sum(json.loads(each.read_bytes())["count"] for each in folder.glob("partition=*/*.manifest.json"))
