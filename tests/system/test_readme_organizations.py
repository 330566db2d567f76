"""The README's lines about organisations work as they stand, after those of its first page."""

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


def test_every_line_about_organisations_answers_what_the_readme_promises(tmp_path: Path) -> None:
    (tmp_path / ".venv").symlink_to(sys.prefix)
    shutil.copy(ROOT / "acme.toml", tmp_path)
    (first,) = re.findall(r"^```sh\n(.*?)^```", text("README.md"), re.M | re.S)
    section = text("README.md").partition("## People and organisations\n")[2]
    block = re.findall(r"^```bash\n(.*?)^```", section, re.M | re.S)[0]
    one = Platform(tmp_path, "--port", "0", data=".acme")
    for name in PLENTY:
        del one.environ[name]  # the README's reader has the limits that are set
    try:
        one.start()
        bash = ["bash", "-eu", "-o", "pipefail", "-c", f"{first}\necho ----\n{block}"]
        done = subprocess.run(
            bash, cwd=tmp_path, env={**one.environ, "API": one.api}, capture_output=True, text=True, timeout=60
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
        shown = done.stdout.rpartition("----\n")[2]
        begins = [match.start() for match in re.finditer(r"^\{", shown, re.M)]
        project, invitation, _, verified, accepted, projects, members, team, role, roles = [
            json.JSONDecoder().raw_decode(shown, start)[0] for start in begins
        ]
        organization = project["organization_id"]
        assert (invitation["email"], invitation["role"]) == ("bob@example.com", "member")
        assert verified["email_verified"] is True
        assert (accepted["organization_id"], accepted["role"]) == (organization, "member")
        assert [entry["name"] for entry in projects["projects"]] == ["Gemini"]
        assert [entry["role"] for entry in members["members"]] == ["owner", "member"]
        assert team["organization_id"] == organization
        assert role["permissions"] == ["organizations.members.read", "projects.read"]
        assert [entry["name"] for entry in roles["roles"]] == ["owner", "admin", "member", "viewer", "guest", "Auditor"]
        assert one.stop() == 0
    finally:
        one.close()
