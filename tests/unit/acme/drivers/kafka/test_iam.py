"""Tokens of AWS IAM."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from aiokafka.errors import AuthenticationFailedError

from acme.drivers.kafka.iam import Tokens


async def test_a_token_is_a_signed_request_to_the_cluster_of_a_region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-in-the-token")
    token = await Tokens("eu-west-1", 10.0).token()
    signed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
    assert signed.startswith("https://kafka.eu-west-1.amazonaws.com/?Action=kafka-cluster%3AConnect")
    assert "AKIDEXAMPLE" in signed
    assert "X-Amz-Signature=" in signed
    assert "not-in-the-token" not in signed


async def test_who_has_no_account_hears_so_as_of_any_log_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(AuthenticationFailedError):
        await Tokens("eu-west-1", 10.0).token()
