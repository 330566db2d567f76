"""Contexts that outlive what they show, and failures that are told."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import structlog

from acme.runtime.tls.contexts import Heard, Renewing, Told
from tests.certificates import Authority
from tests.handshakes import believer, handshake


def context(authority: Authority, folder: Path, name: str) -> ssl.SSLContext:
    paths = authority.issue(folder / name, name)
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(paths["certificate"], paths["key"])
    return made


def test_each_handshake_uses_what_is_current(tmp_path: Path) -> None:
    authority = Authority()
    client, renewing = believer(authority.pem), Renewing(ssl.PROTOCOL_TLS_SERVER)
    for name in ("one.example", "two.example"):
        renewing.current = context(authority, tmp_path, name)
        assert handshake(renewing, client).name == name


def test_a_handshake_that_fails_is_told_with_its_reason(tmp_path: Path) -> None:
    client = believer(Authority("Somebody else").pem)
    client.sslobject_class = Told
    with structlog.testing.capture_logs() as lines, pytest.raises(ssl.SSLCertVerificationError):
        handshake(context(Authority(), tmp_path, "one.example"), client, "one.example")
    assert [(line["event"], line["peer"], line["server"]) for line in lines] == [
        ("handshake refused", "one.example", False)
    ]
    assert "unable to get local issuer certificate" in lines[0]["reason"]


def test_a_handshake_that_succeeds_is_not_told(tmp_path: Path) -> None:
    authority = Authority()
    client = believer(authority.pem)
    client.sslobject_class = Told
    with structlog.testing.capture_logs() as lines:
        handshake(context(authority, tmp_path, "one.example"), client)
    assert lines == []


def test_who_hears_has_to_say_what_it_does_about_it(tmp_path: Path) -> None:
    client = believer(Authority("Somebody else").pem)
    client.sslobject_class = Heard
    with pytest.raises(NotImplementedError):
        handshake(context(Authority(), tmp_path, "one.example"), client)
