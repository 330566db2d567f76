"""An authority of this machine's own, and a certificate by it: HTTPS for `acme up --tls` without anybody's help.

DATA/tls/                 0700
  authority.pem           whoever believes in it believes this gateway
  authority.key           0600; made once, as is the certificate above
  certificate.pem, key.pem (0600)      for localhost, this machine's name and its loopback addresses; made anew in good time

The authority can vouch for these names and no others (name constraints, RFC 5280, section 4.2.1.10): whoever finds its key
cannot pretend to be a bank to a browser that believes in it.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from acme.gateway.tls_settings import CertificateSettings
from acme.runtime.databases import CannotStart
from acme.runtime.tls import files

LIFE: Final = timedelta(days=3650)
"""Of the authority."""
LEAF: Final = timedelta(days=90)
"""Of a certificate."""
AHEAD: Final = timedelta(days=45)
"""A certificate with less than this is made anew: before anybody is warned of its end."""
_SKEW: Final = timedelta(hours=1)
_LOOPBACK: Final = ("127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Local:
    """Where everything is."""

    folder: Path

    @classmethod
    def of(cls, data: Path) -> Local:
        """That of a data folder."""
        return cls(data / "tls")

    @property
    def authority(self) -> Path:
        """What clients have to believe in."""
        return self.folder / "authority.pem"

    @property
    def settings(self) -> CertificateSettings:
        """The certificate, as `[gateway.tls]` would name it."""
        return CertificateSettings(str(self.folder / "certificate.pem"), str(self.folder / "key.pem"))

    def ensure(self, now: datetime) -> None:
        """Makes what is missing, or will soon be worth nothing. Any number of processes may do so at a time.

        Raises:
            CannotStart: the folder cannot be written, or what is in it cannot be used.
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._alone():
                if not self._good(now):
                    self._issue(now)
        except OSError as error:
            raise CannotStart(f"no certificate can be made in {self.folder}: {error.strerror}") from error

    @contextmanager
    def _alone(self) -> Iterator[None]:
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _good(self, now: datetime) -> bool:
        paths = (self.authority, Path(self.settings.certificate), Path(self.settings.key))
        if not all(path.exists() for path in paths):
            return False
        authority, own = (files.certificates("DATA/tls", "certificate", path)[0] for path in paths[:2])
        wanted = {*hosts(), *_LOOPBACK}
        long_enough = own.not_valid_after_utc - now > AHEAD and authority.not_valid_after_utc - now > AHEAD
        return files.issued(authority, own) and wanted <= set(files.names(own)) and long_enough

    def _issue(self, now: datetime) -> None:
        """A certificate, by the authority that is there; by a new one where that is missing, at its end, or for another name
        of the machine."""
        signing = self.folder / "authority.key"
        if self.authority.exists() and signing.exists():
            authority = files.certificates("DATA/tls", "authority", self.authority)[0]
            try:
                key = serialization.load_pem_private_key(signing.read_bytes(), None)
            except ValueError as error:
                raise CannotStart(f"{signing} is damaged: `acme reset`, or take {self.folder} away") from error
            lasts = _allows(authority) and authority.not_valid_after_utc - now > AHEAD
            if isinstance(key, ec.EllipticCurvePrivateKey) and key.public_key() == authority.public_key() and lasts:
                self._certify(authority, key, now)
                return
        key = ec.generate_private_key(ec.SECP256R1())
        authority = _authority(key, now)
        _write(signing, _private(key), 0o600)
        _write(self.authority, _pem(authority), 0o644)
        self._certify(authority, key, now)

    def _certify(self, authority: x509.Certificate, signing: ec.EllipticCurvePrivateKey, now: datetime) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.DNSName(name) for name in hosts()]
        addresses = [x509.IPAddress(ip_address(each)) for each in _LOOPBACK]
        own = (
            _builder("localhost", authority.subject, key, now, min(now + LEAF, authority.not_valid_after_utc))
            .add_extension(x509.SubjectAlternativeName([*names, *addresses]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False)
            .sign(signing, hashes.SHA256())
        )
        _write(Path(self.settings.key), _private(key), 0o600)
        _write(Path(self.settings.certificate), _pem(own), 0o644)


def hosts() -> tuple[str, ...]:
    """The names it vouches for: localhost and the machine's, where that is a name."""
    own = socket.gethostname().lower()
    fit = own and own.isascii() and all(part and part.strip("-") == part for part in own.split("."))
    fit = fit and own.replace("-", "").replace(".", "").isalnum() and len(own) <= 253
    return ("localhost", own) if fit and own != "localhost" else ("localhost",)


def _authority(key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, "Acme local authority"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, f"acme up --tls on {hosts()[-1]}"[:64]),
        ]
    )
    permitted = [x509.DNSName(host) for host in hosts()]
    loopback = [x509.IPAddress(ip_network("127.0.0.0/8")), x509.IPAddress(ip_network("::1/128"))]
    return (
        _builder("", name, key, now, now + LIFE, subject=name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(x509.NameConstraints([*permitted, *loopback], None), critical=True)
        .sign(key, hashes.SHA256())
    )


def _allows(authority: x509.Certificate) -> bool:
    """Whether it may vouch for what the machine is called now."""
    try:
        said = authority.extensions.get_extension_for_class(x509.NameConstraints).value.permitted_subtrees or []
    except x509.ExtensionNotFound:
        return False
    return set(hosts()) <= {each.value for each in said if isinstance(each, x509.DNSName)}


def _builder(
    common: str,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
    ends: datetime,
    subject: x509.Name | None = None,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject or x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, content: bytes, mode: int) -> None:
    """Whole or not at all, over what is there, and never readable by others for a moment."""
    temporary = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        os.write(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(temporary, path)
