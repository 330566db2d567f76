"""An authority of this machine's own: made once, private, and good for this machine alone."""

from __future__ import annotations

import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from acme.gateway.tls_settings import TlsSettings
from acme.runtime.databases import CannotStart
from acme.runtime.tls import local
from acme.runtime.tls.edge import EdgeCertificates
from acme.runtime.tls.local import AHEAD, LIFE, Local
from acme.telemetry import Metrics
from tests.handshakes import believer, handshake

NOW = datetime.now(UTC)


@pytest.fixture
def made(tmp_path: Path) -> Local:
    one = Local.of(tmp_path)
    one.ensure(NOW)
    return one


def contents(one: Local) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in one.folder.iterdir()}


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1", *local.hosts()])
def test_who_believes_in_it_believes_this_machine_by_each_of_its_names(made: Local, name: str) -> None:
    edge = EdgeCertificates(TlsSettings(certificates=(made.settings,)), Metrics())
    assert handshake(edge.context("none"), believer(made.authority, check_name=True), name).name == "localhost"


def test_keys_are_for_their_owner_alone(made: Local) -> None:
    assert made.folder.stat().st_mode & 0o777 == 0o700
    for name in ("authority.key", "key.pem"):
        assert (made.folder / name).stat().st_mode & 0o777 == 0o600


def test_it_is_made_once(made: Local) -> None:
    before = contents(made)
    made.ensure(NOW)
    assert contents(made) == before


def test_processes_that_start_at_once_make_one(tmp_path: Path) -> None:
    threads = [threading.Thread(target=lambda: Local.of(tmp_path).ensure(NOW)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    edge = EdgeCertificates(TlsSettings(certificates=(Local.of(tmp_path).settings,)), Metrics())
    assert handshake(edge.context("none"), believer(Local.of(tmp_path).authority, check_name=True), "localhost")


def test_a_certificate_is_made_anew_in_good_time_by_the_same_authority(made: Local) -> None:
    before = contents(made)
    made.ensure(NOW + local.LEAF - AHEAD + timedelta(hours=1))
    after = contents(made)
    assert {name for name in after if after[name] != before[name]} == {"certificate.pem", "key.pem"}


def test_an_authority_at_its_end_is_made_anew(made: Local) -> None:
    before = contents(made)
    made.ensure(NOW + LIFE - timedelta(days=1))
    after = contents(made)
    assert {name for name in before if after[name] == before[name]} == {"lock"}


def test_a_machine_with_another_name_gets_an_authority_for_that(made: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(made)
    monkeypatch.setattr(socket, "gethostname", lambda: "other-name.example")
    made.ensure(NOW)
    assert contents(made)["authority.pem"] != before["authority.pem"]
    edge = EdgeCertificates(TlsSettings(certificates=(made.settings,)), Metrics())
    assert edge.covers("other-name.example")


@pytest.mark.parametrize("name", ["", "localhost", "not a name", "-x", "a..b", "ümlaut"])
def test_a_machine_whose_name_is_none_is_localhost(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: name)
    assert local.hosts() == ("localhost",)


def test_its_authority_can_vouch_for_nobody_else(made: Local, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    signing = serialization.load_pem_private_key((made.folder / "authority.key").read_bytes(), None)
    assert isinstance(signing, ec.EllipticCurvePrivateKey)
    authority = x509.load_pem_x509_certificate(made.authority.read_bytes())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bank.example")])
    ends = NOW + timedelta(days=1)
    number = x509.random_serial_number()
    forged = (
        x509.CertificateBuilder(authority.subject, name, key.public_key(), number, NOW - timedelta(days=1), ends)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("bank.example")]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False)
        .sign(signing, hashes.SHA256())
    )
    (tmp_path / "c.pem").write_bytes(forged.public_bytes(serialization.Encoding.PEM))
    pkcs8, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (tmp_path / "k.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, pkcs8, plain))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "c.pem", tmp_path / "k.pem")
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        handshake(server, believer(made.authority, check_name=True), "bank.example")


def test_a_damaged_key_is_told_and_not_replaced(made: Local) -> None:
    (made.folder / "authority.key").write_text("damaged")
    (made.folder / "certificate.pem").unlink()
    with pytest.raises(CannotStart, match=r"authority\.key is damaged"):
        made.ensure(NOW)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "tls").write_text("a file")
    with pytest.raises(CannotStart, match="no certificate can be made in"):
        Local.of(tmp_path).ensure(NOW)
