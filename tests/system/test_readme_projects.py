"""The README's lines about projects work as they stand, after those about organisations and those of its first page."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.tree import ROOT, text
from tests.system.running import PLENTY, Platform

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="the README's lines need curl")


def test_every_line_about_projects_answers_what_the_readme_promises(tmp_path: Path) -> None:
    (tmp_path / ".venv").symlink_to(sys.prefix)
    shutil.copy(ROOT / "acme.toml", tmp_path)
    (first,) = re.findall(r"^```sh\n(.*?)^```", text("README.md"), re.M | re.S)
    section = text("README.md").partition("## People and organisations\n")[2]
    before, block = re.findall(r"^```bash\n(.*?)^```", section, re.M | re.S)[:2]
    one = Platform(tmp_path, "--port", "0", data=".acme")
    for name in PLENTY:
        del one.environ[name]  # the README's reader has the limits that are set
    try:
        one.start()
        bash = ["bash", "-eu", "-o", "pipefail", "-c", f"{first}\n{before}\necho ====\n{block}"]
        done = subprocess.run(
            bash, cwd=tmp_path, env={**one.environ, "API": one.api}, capture_output=True, text=True, timeout=60
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
        shown = done.stdout.rpartition("====\n")[2]
        begins = [match.start() for match in re.finditer(r"^\{", shown, re.M)]
        added, invited, members, found, filtered, batch, offer, accepted, deleted, back = [
            json.JSONDecoder().raw_decode(shown, start)[0] for start in begins
        ]
        bob, gemini = added["member"]["subject_id"], added["member"]["project_id"]
        assert (added["member"]["role"], added["invited"], invited) == ("admin", False, {"invited": True})
        assert [member["role"] for member in members["members"]] == ["owner", "admin"]
        for listed in (found, filtered, batch, deleted):
            assert [project["id"] for project in listed["projects"]] == [gemini]
        assert len(batch["missing"]) == 1
        assert (offer["project_id"], offer["user_id"]) == (gemini, bob)
        assert (accepted["owner_id"], accepted["version"]) == (bob, 2)
        assert "deleted_at" in deleted["projects"][0]
        assert "deleted_at" not in back
        assert one.stop() == 0
    finally:
        one.close()
