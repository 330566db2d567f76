"""A pytest plugin that writes down what was collected, in JSON, to the file that COLLECTED names.

For each test its file, its name, the fixtures it has, and the placement it runs in ("" for one that is not repeated).
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest


def pytest_collection_finish(session: pytest.Session) -> None:
    found = []
    for item in session.items:
        chosen = getattr(getattr(item, "callspec", None), "params", {})
        fixtures = list(getattr(item, "fixturenames", ()))
        found.append([str(item.path), getattr(item, "originalname", item.name), fixtures, chosen.get("placement", "")])
    Path(os.environ["COLLECTED"]).write_text(json.dumps(found))
