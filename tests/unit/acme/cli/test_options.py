"""What the commands share."""

from __future__ import annotations

from pathlib import Path

import pytest

from acme.cli.options import fail, read_settings


def test_failing_tells_the_details_indented_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        fail("it cannot be done", "because of this", code=3)
    assert caught.value.code == 3
    assert capsys.readouterr() == ("", "acme: it cannot be done\n  because of this\n")


def test_what_is_given_to_a_command_goes_over_files(tmp_path: Path) -> None:
    overlay = tmp_path / "over.toml"
    overlay.write_text("[gateway]\nport = 9000\ngrace = 1.5\n")
    settings = read_settings([overlay], tmp_path / "data", port=9001)
    assert (settings.gateway.port, settings.gateway.grace) == (9001, 1.5)
    assert settings.data == tmp_path / "data"
