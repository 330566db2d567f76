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


def test_https_means_a_local_authority_where_no_certificate_is_configured(tmp_path: Path) -> None:
    assert read_settings(None, None, tls=True).gateway.tls.local
    pair = '{ certificate = "a.pem", key = "a.key" }'
    (tmp_path / "own.toml").write_text(f"[gateway.tls]\ncertificates = [{pair}]\n")
    own = read_settings([tmp_path / "own.toml"], None, port=1, tls=True)
    assert (own.gateway.tls.local, own.gateway.port, len(own.gateway.tls.certificates)) == (False, 1, 1)
