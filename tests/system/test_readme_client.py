"""The README's program works as it stands, in a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.house.tree import text
from tests.system.running import Platform


def test_the_readmes_program_makes_a_project_and_finds_it(running: Platform, tmp_path: Path) -> None:
    ada = running.join("ada@example.com")
    (program,) = re.findall(r"^```python\n(import asyncio\n.*?)^```", text("README.md"), re.M | re.S)
    file = tmp_path / "program.py"
    file.write_text(program.replace("http://127.0.0.1:8080", running.api))
    done = subprocess.run([sys.executable, file], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    (listed,) = running.call("GET", "/v1/projects", token=ada.token).json["projects"]
    assert done.stdout == f"{listed['id']} Atlas\n"
    settings = running.call("GET", f"/v1/projects/{listed['id']}/settings", token=ada.token).json
    assert settings["settings"] == {"theme": "dark"}
