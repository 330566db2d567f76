"""The gateway's certificates: which one is shown, to whom, in which way, and what becomes of it when files change."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from acme.gateway.tls_settings import CertificateSettings, TlsSettings
from acme.runtime.databases import CannotStart
from acme.runtime.tls.edge import EdgeCertificates
from tests.certificates import DAY, Authority
from tests.handshakes import handshake
from tests.unit.acme.runtime.tls.conftest import Town

# ---- what is shown ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("one.example", "one.example"),
        ("also.example", "one.example"),
        ("two.example", "two.example"),
        ("TWO.example", "two.example"),
        ("deep.wild.example", "*.wild.example"),
        ("too.deep.wild.example", "one.example"),
        ("wild.example", "one.example"),
        ("unknown.example", "one.example"),
        (None, "one.example"),
    ],
)
def test_the_name_a_client_asks_for_chooses_the_certificate(
    town: Town, client: ssl.SSLContext, asked: str | None, shown: str
) -> None:
    edge = town.open(town.issue("one.example", "also.example"), town.issue("two.example"), town.issue("*.wild.example"))
    assert handshake(edge.context("none"), client, asked).name == shown


def test_the_first_of_two_certificates_for_a_name_is_shown(
    town: Town, client: ssl.SSLContext, authority: Authority
) -> None:
    first, second = town.issue("first.example", "both.example"), town.issue("second.example", "both.example")
    assert handshake(town.open(first, second).context("none"), client, "both.example").name == "first.example"


def test_it_covers_the_names_of_its_certificates_and_no_others(town: Town) -> None:
    edge = town.open(town.issue("one.example"), town.issue("*.wild.example"))
    covered = ["one.example", "ONE.example", "a.wild.example"]
    assert [name for name in covered if not edge.covers(name)] == []
    assert [name for name in ("two.example", "a.b.wild.example", "wild.example", "") if edge.covers(name)] == []


# ---- versions, ciphers, protocols -------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
@pytest.mark.parametrize(
    ("most", "minimum", "spoken"),
    [
        (ssl.TLSVersion.TLSv1_3, "1.2", "TLSv1.3"),
        (ssl.TLSVersion.TLSv1_2, "1.2", "TLSv1.2"),
        (ssl.TLSVersion.TLSv1_1, "1.2", ""),
        (ssl.TLSVersion.TLSv1, "1.2", ""),
        (ssl.TLSVersion.TLSv1_3, "1.3", "TLSv1.3"),
        (ssl.TLSVersion.TLSv1_2, "1.3", ""),
    ],
)
def test_only_versions_from_the_minimum_on_are_spoken(
    town: Town, client: ssl.SSLContext, most: ssl.TLSVersion, minimum: str, spoken: str
) -> None:
    server = town.open(town.issue("one.example"), minimum=minimum).context("none")
    client.set_ciphers("ALL:@SECLEVEL=0")
    client.minimum_version, client.maximum_version = ssl.TLSVersion.TLSv1, most
    if not spoken:
        with pytest.raises(ssl.SSLError):
            handshake(server, client)
        assert town.metric("acme_gateway_tls_refused_total") != []
        return
    assert handshake(server, client).client.version() == spoken


WEAK = ["AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES128-CCM", "NULL"]


@pytest.mark.parametrize("cipher", WEAK)
def test_ciphers_without_forward_secrecy_or_authentication_of_data_are_refused(
    town: Town, client: ssl.SSLContext, cipher: str
) -> None:
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers(f"{cipher}:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError):
        handshake(town.open(town.issue("one.example")).context("none"), client)


def test_the_client_chooses_among_the_ciphers(town: Town, client: ssl.SSLContext) -> None:
    server = town.open(town.issue("one.example")).context("none")
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    for first, second in (("CHACHA20-POLY1305", "AES256-GCM-SHA384"), ("AES256-GCM-SHA384", "CHACHA20-POLY1305")):
        client.set_ciphers(f"ECDHE-ECDSA-{first}:ECDHE-ECDSA-{second}")
        cipher = handshake(server, client).client.cipher()
        assert cipher is not None
        assert cipher[0] == f"ECDHE-ECDSA-{first}"


def test_http_1_1_is_what_is_spoken(town: Town, client: ssl.SSLContext) -> None:
    server = town.open(town.issue("one.example")).context("none")
    client.set_alpn_protocols(["h2", "http/1.1"])
    assert handshake(server, client, "one.example").client.selected_alpn_protocol() == "http/1.1"


# ---- resumption -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_session_resumes_also_after_its_certificate_was_renewed(
    town: Town, client: ssl.SSLContext, version: ssl.TLSVersion
) -> None:
    client.maximum_version = version
    edge = town.open(town.issue("one.example"), town.issue("two.example"))
    server = edge.context("none")
    before = handshake(server, client, "two.example")
    assert not before.client.session_reused
    assert handshake(server, client, "two.example", before.client.session).client.session_reused
    town.issue("two.example")
    await edge.renew()
    assert handshake(server, client, "two.example", before.client.session).client.session_reused


def test_a_session_resumes_after_other_settings_that_do_not_concern_it(town: Town, client: ssl.SSLContext) -> None:
    edge = town.open(town.issue("one.example"))
    server = edge.context("none")
    before = handshake(server, client, "one.example")
    edge.configure(TlsSettings(certificates=(town.issue("two.example"), town.issue("one.example"))))
    assert handshake(server, client, "one.example", before.client.session).client.session_reused
    edge.configure(TlsSettings(certificates=(town.issue("one.example"),), minimum="1.3"))
    assert not handshake(server, client, "one.example", before.client.session).client.session_reused


async def test_a_session_does_not_resume_when_the_authority_of_clients_changes(
    town: Town, client: ssl.SSLContext, tmp_path: Path
) -> None:
    trusted = tmp_path / "clients.pem"
    clients = Authority("Clients")
    trusted.write_bytes(clients.pem)
    mine = clients.issue(tmp_path / "mine", "machine.example")
    client.load_cert_chain(mine["certificate"], mine["key"])
    edge = town.open(town.issue("one.example"), authority=str(trusted))
    server = edge.context("required")
    before = handshake(server, client, "one.example")
    assert handshake(server, client, "one.example", before.client.session).client.session_reused
    trusted.write_bytes(Authority("Others").pem)
    await edge.renew()
    with pytest.raises(ssl.SSLError):
        handshake(server, client, "one.example", before.client.session)


# ---- client certificates ----------------------------------------------------------------------------------------


@pytest.fixture
def asking(town: Town, tmp_path: Path) -> EdgeCertificates:
    trusted = tmp_path / "clients.pem"
    trusted.write_bytes(Authority("Clients").pem)
    return town.open(town.issue("one.example"), authority=str(trusted))


def showing(client: ssl.SSLContext, by: Authority, folder: Path, **options: timedelta) -> ssl.SSLContext:
    paths = by.issue(folder, "machine.example", **options)  # type: ignore[arg-type]  # begins and ends only
    client.load_cert_chain(paths["certificate"], paths["key"])
    return client


def test_a_client_without_a_certificate_gets_in_where_it_is_optional_and_nowhere_where_it_is_required(
    asking: EdgeCertificates, client: ssl.SSLContext
) -> None:
    assert handshake(asking.context("optional"), client).server.getpeercert() is None
    with pytest.raises(ssl.SSLError):
        handshake(asking.context("required"), client)


@pytest.mark.parametrize("mode", ["optional", "required"])
def test_a_client_whose_certificate_is_not_believed_gets_in_nowhere(
    asking: EdgeCertificates, client: ssl.SSLContext, tmp_path: Path, mode: str
) -> None:
    with pytest.raises(ssl.SSLError):
        handshake(asking.context(mode), showing(client, Authority("Strangers"), tmp_path / "mine"))  # type: ignore[arg-type]  # one of them


def test_an_expired_certificate_of_a_client_is_not_believed(
    town: Town, client: ssl.SSLContext, tmp_path: Path, authority: Authority
) -> None:
    trusted = tmp_path / "clients.pem"
    trusted.write_bytes(authority.pem)
    server = town.open(town.issue("one.example"), authority=str(trusted)).context("required")
    with pytest.raises(ssl.SSLError):
        handshake(server, showing(client, authority, tmp_path / "late", ends=-timedelta(hours=1)))
    shown = handshake(server, showing(client, authority, tmp_path / "good")).server.getpeercert()
    assert shown is not None
    assert shown["subjectAltName"] == (("DNS", "machine.example"),)


def test_nobody_is_asked_for_a_certificate_where_none_is_wanted(
    asking: EdgeCertificates, client: ssl.SSLContext, tmp_path: Path
) -> None:
    agreed = handshake(asking.context("none"), showing(client, Authority("Strangers"), tmp_path / "mine"))
    assert agreed.server.getpeercert() is None


# ---- files that change ------------------------------------------------------------------------------------------


async def test_a_new_certificate_is_shown_in_the_next_handshake(town: Town, client: ssl.SSLContext) -> None:
    edge = town.open(town.issue("one.example"), town.issue("two.example"))
    server = edge.context("none")
    standing = handshake(server, client, "one.example")
    before = standing.client.getpeercert(binary_form=True)
    town.issue("one.example")
    assert handshake(server, client, "one.example").client.getpeercert(binary_form=True) == before
    await edge.renew()
    assert handshake(server, client, "one.example").client.getpeercert(binary_form=True) != before
    standing.client.write(b"still here")
    assert standing.server.read() == b"still here"


def spoil(what: str) -> Callable[[CertificateSettings], None]:
    def do(files: CertificateSettings) -> None:
        match what:
            case "no PEM":
                Path(files.certificate).write_text("no certificate")
            case "gone":
                Path(files.certificate).unlink()
            case "another's key":
                Path(files.key).write_bytes(Path(files.key).with_name("other.pem").read_bytes())

    return do


@pytest.mark.parametrize("what", ["no PEM", "gone", "another's key", "expired"])
async def test_files_that_do_not_fit_are_told_and_keep_nobody_else_from_renewing(
    town: Town, client: ssl.SSLContext, authority: Authority, what: str
) -> None:
    one, two = town.issue("one.example"), town.issue("two.example")
    other = authority.issue(town.folder / "other", "other.example")
    Path(one.key).with_name("other.pem").write_bytes(other["key"].read_bytes())
    edge = town.open(one, two)
    server = edge.context("none")
    before = {name: handshake(server, client, name).client.getpeercert(True) for name in ("one.example", "two.example")}
    if what == "expired":
        town.issue("one.example", ends=-timedelta(hours=1))
    else:
        spoil(what)(one)
    town.issue("two.example")
    with structlog.testing.capture_logs() as told:
        await edge.renew()
        await edge.renew()
    assert [line["event"] for line in told].count("the new certificate files are not used") == 1
    assert handshake(server, client, "one.example").client.getpeercert(True) == before["one.example"]
    assert handshake(server, client, "two.example").client.getpeercert(True) != before["two.example"]
    town.issue("one.example")
    await edge.renew()
    assert handshake(server, client, "one.example").client.getpeercert(True) != before["one.example"]


async def test_an_authority_that_cannot_be_used_leaves_the_former_one_in_use(
    town: Town, client: ssl.SSLContext, tmp_path: Path, authority: Authority
) -> None:
    trusted = tmp_path / "clients.pem"
    trusted.write_bytes(authority.pem)
    edge = town.open(town.issue("one.example"), authority=str(trusted))
    server = edge.context("required")
    showing(client, authority, tmp_path / "mine")
    trusted.write_text("nothing")
    await edge.renew()
    assert handshake(server, client).server.getpeercert() is not None


def test_other_settings_are_used_whole_or_not_at_all(town: Town, client: ssl.SSLContext) -> None:
    edge = town.open(town.issue("one.example"))
    server = edge.context("none")
    missing = CertificateSettings("nowhere.pem", "nowhere.key")
    with pytest.raises(CannotStart, match="cannot be read"):
        edge.configure(TlsSettings(certificates=(town.issue("two.example"), missing), minimum="1.3"))
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    assert handshake(server, client, "two.example").name == "one.example"
    edge.configure(TlsSettings(certificates=(town.issue("two.example"),), minimum="1.3"))
    with pytest.raises(ssl.SSLError):
        handshake(server, client)
    client.maximum_version = ssl.TLSVersion.TLSv1_3
    assert handshake(server, client, "one.example").name == "two.example"


# ---- the start, and the end ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("no PEM", "holds no certificate in PEM form"),
        ("gone", "cannot be read: No such file"),
        ("another's key", "do not belong together"),
    ],
)
def test_files_that_cannot_be_used_stop_the_start(town: Town, authority: Authority, what: str, told: str) -> None:
    one = town.issue("one.example")
    other = authority.issue(town.folder / "other", "other.example")
    Path(one.key).with_name("other.pem").write_bytes(other["key"].read_bytes())
    spoil(what)(one)
    with pytest.raises(CannotStart, match=told):
        town.open(one)


def test_a_certificate_for_no_name_stops_the_start(town: Town) -> None:
    paths = town.authority.issue(town.folder / "mail", more=[x509.RFC822Name("a@b.example")])
    with pytest.raises(CannotStart, match="is for no name"):
        town.open(CertificateSettings(str(paths["certificate"]), str(paths["key"])))


def test_a_weak_key_stops_the_start(town: Town, tmp_path: Path) -> None:
    key = rsa.generate_private_key(65537, 1024)  # noqa: S505  that is the point
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "weak")])
    now = datetime.now(UTC)
    weak = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + DAY)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("weak.example")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (tmp_path / "weak.pem").write_bytes(weak.public_bytes(serialization.Encoding.PEM))
    pkcs8, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (tmp_path / "weak.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, pkcs8, plain))
    with pytest.raises(CannotStart, match="EE_KEY_TOO_SMALL"):
        town.open(CertificateSettings(str(tmp_path / "weak.pem"), str(tmp_path / "weak.key")))


def test_when_each_certificate_expires_is_a_metric(town: Town) -> None:
    town.open(town.issue("one.example"), town.issue("two.example", ends=3 * DAY))
    lines = town.metric("acme_gateway_certificate_expires_timestamp_seconds{")
    found = {m[1]: float(m[2]) for line in lines if (m := re.search(r'name="(.*)"\} (\S+)', line))}
    assert found.keys() == {"one.example", "two.example"}
    assert abs(found["two.example"] - found["one.example"] - 2 * 86_400) < 60


async def test_a_certificate_that_expires_soon_is_told_thirty_days_before_seven_and_at_the_end(town: Town) -> None:
    edge = town.open(town.issue("one.example", ends=40 * DAY))
    told = []
    for day in range(45):
        town.now = datetime.now(UTC) + timedelta(days=day)
        with structlog.testing.capture_logs() as lines:
            await edge.renew()
            await edge.renew()
        told += [(day, line["event"], line["log_level"]) for line in lines]
    assert told == [
        (10, "a certificate expires soon", "warning"),
        (33, "a certificate expires soon", "warning"),
        (40, "a certificate has expired", "error"),
    ]


def test_a_certificate_that_has_expired_is_told_at_the_start_and_does_not_stop_the_others(town: Town) -> None:
    with structlog.testing.capture_logs() as lines:
        edge = town.open(town.issue("late.example", ends=-timedelta(hours=1)), town.issue("one.example"))
    assert [(line["event"], line["name"]) for line in lines] == [
        ("a certificate has expired", "late.example"),
        ("a certificate expires soon", "one.example"),
    ]
    assert edge.covers("one.example")
