"""The README's lines about organisations work as they stand, after those of its first page; and those about projects after
both, as a reader would try them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.house.tree import ROOT, text
from tests.system.running import PLENTY, Platform

pytestmark = [
    pytest.mark.drill,
    pytest.mark.skipif(shutil.which("curl") is None, reason="the README's lines need curl"),
]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[list[Any]]]:
    """What the two blocks print: the JSON objects of each, in their order."""
    folder = tmp_path_factory.mktemp("checkout")
    (folder / ".venv").symlink_to(sys.prefix)
    shutil.copy(ROOT / "acme.toml", folder)
    (first,) = re.findall(r"^```sh\n(.*?)^```", text("README.md"), re.M | re.S)
    section = text("README.md").partition("## People and organisations\n")[2]
    blocks = re.findall(r"^```bash\n(.*?)^```", section, re.M | re.S)[:2]
    one = Platform(folder, "--port", "0", data=".acme")
    for name in PLENTY:
        del one.environ[name]  # the README's reader has the limits that are set
    try:
        one.start()
        bash = ["bash", "-eu", "-o", "pipefail", "-c", "\necho ====\n".join([first, *blocks])]
        done = subprocess.run(
            bash, cwd=folder, env={**one.environ, "API": one.api}, capture_output=True, text=True, timeout=180
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
        yield [objects(part) for part in done.stdout.split("====\n")[1:]]
        assert one.stop() == 0
    finally:
        one.close()


def objects(shown: str) -> list[Any]:
    """The JSON objects that begin a line."""
    return [json.JSONDecoder().raw_decode(shown, match.start())[0] for match in re.finditer(r"^\{", shown, re.M)]


def test_every_line_about_organisations_answers_what_the_readme_promises(shown: list[list[Any]]) -> None:
    project, invitation, _, verified, accepted, projects, members, team, role, roles = shown[0]
    organization = project["organization_id"]
    assert (invitation["email"], invitation["role"]) == ("bob@example.com", "member")
    assert verified["email_verified"] is True
    assert (accepted["organization_id"], accepted["role"]) == (organization, "member")
    assert [entry["name"] for entry in projects["projects"]] == ["Gemini"]
    assert [entry["role"] for entry in members["members"]] == ["owner", "member"]
    assert team["organization_id"] == organization
    assert role["permissions"] == ["organizations.members.read", "projects.read"]
    assert [entry["name"] for entry in roles["roles"]] == ["owner", "admin", "member", "viewer", "guest", "Auditor"]


def test_every_line_about_projects_answers_what_the_readme_promises(shown: list[list[Any]]) -> None:
    added, invited, members, found, filtered, batch, offer, accepted, deleted, back = shown[1]
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
