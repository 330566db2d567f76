"""A visit that fails is one line and an exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from acme.cli.visits import visiting
from acme.errors import Unavailable
from acme.ports import UnknownTopic
from acme.runtime.visiting import CannotVisit, House
from tests.visited import settings

EXTERNAL = {"url": "postgresql://acme@127.0.0.1:1/"}
"""Nothing has to be there to make a house; only a plugin's database has to be."""


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (CannotVisit("it is not there\nfor a reason"), 1, "acme: it is not there\n  for a reason\n"),
        (UnknownTopic("t"), 1, "acme: there is no topic t\n"),
        (Unavailable("not now"), 1, "acme: not now\n"),
        (KeyboardInterrupt(), 130, "acme: interrupted\n"),
    ],
)
def test_what_goes_wrong_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], error: BaseException, code: int, said: str
) -> None:
    async def run(house: House) -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        visiting(settings(tmp_path, database=EXTERNAL), run)
    assert (ended.value.code, capsys.readouterr().err) == (code, said)


def test_what_a_visit_finds_is_returned(tmp_path: Path) -> None:
    async def run(house: House) -> list[str]:
        return sorted(house.plugins)

    assert "users" in visiting(settings(tmp_path, database=EXTERNAL), run)
