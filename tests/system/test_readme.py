"""The README's first page works as it stands: its block of curl lines, run by bash in a folder like a checkout."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.house.tree import ROOT, text
from tests.system.running import PLENTY, Platform

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="the README's lines need curl")


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(("--port", "0"), id="one process"),
        pytest.param(("--port", "0", "--split"), id="split", marks=pytest.mark.drill),
    ],
)
def shown(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What the block prints."""
    folder = tmp_path_factory.mktemp("checkout")
    (folder / ".venv").symlink_to(sys.prefix)
    shutil.copy(ROOT / "acme.toml", folder)
    (block,) = re.findall(r"^```sh\n(.*?)^```", text("README.md"), re.M | re.S)
    one = Platform(folder, *request.param, data=".acme", fresh=True)
    for name in PLENTY:
        del one.environ[name]  # the README's reader has the limits that are set
    try:
        one.start()
        bash = ["bash", "-eu", "-o", "pipefail", "-c", block]
        done = subprocess.run(
            bash, cwd=folder, env={**one.environ, "API": one.api}, capture_output=True, text=True, timeout=180
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
        yield done.stdout
        assert one.stop() == 0
    finally:
        one.close()


def answers(shown: str) -> list[dict[str, object]]:
    """The JSON objects among the output that begin a line, in their order."""
    begins = [match.start() for match in re.finditer(r"^\{", shown, re.M)]
    return [json.JSONDecoder().raw_decode(shown, start)[0] for start in begins]


def test_every_line_answers_what_the_readme_promises(shown: str) -> None:
    signed_up, verified, me, listed, changed, archived, recorded, wrong, unauthenticated = answers(shown)
    assert signed_up == {}
    assert verified["email_verified"] is True
    assert me["email"] == "ada@example.com"
    assert "Apollo" in json.dumps(listed["projects"])
    assert changed["description"] == "To the moon"
    assert archived["archived"] is True
    assert "acme.projects.v1.Projects/ArchiveProject" in json.dumps(recorded["records"])
    assert (wrong["status"], wrong["code"]) == (422, "invalid_argument")
    assert unauthenticated["status"] == 401


def test_the_mail_is_shown_to_people(shown: str) -> None:
    assert "ada@example.com" in shown
    assert "token=" in shown


def test_a_revoked_token_is_worthless_after_the_second_the_readme_names(shown: str) -> None:
    assert re.search(r"^HTTP/1.1 401 ", shown, re.M)
