"""PEM files: what is in them, whether it fits together, and whether it has changed."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from acme.runtime.databases import CannotStart

Mark = tuple[int, int, int] | None
"""What a change of a file changes; None where it cannot be looked at."""


def marks(paths: Iterable[Path]) -> tuple[Mark, ...]:
    """Of each file, symbolic links followed: Kubernetes swaps a link."""
    return tuple(_mark(path) for path in paths)


def _mark(path: Path) -> Mark:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def certificates(setting: str, what: str, path: Path) -> Sequence[x509.Certificate]:
    """The certificates of a file, at least one, in their order. `setting` names where the path was said, such as "[mtls]".

    Raises:
        CannotStart: it cannot be read, or holds none.
    """
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise CannotStart(f"{setting} {what} {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise CannotStart(f"{setting} {what} {path} holds no certificate in PEM form") from error


def check_time(setting: str, path: Path, certificate: x509.Certificate, now: datetime) -> None:
    """Raises `CannotStart` when nobody would believe a certificate at this time."""
    if certificate.not_valid_after_utc <= now:
        ended = certificate.not_valid_after_utc
        raise CannotStart(f"{setting} certificate {path} expired on {ended}: issue a new one")
    if certificate.not_valid_before_utc > now:
        raise CannotStart(f"{setting} certificate {path} is not valid before {certificate.not_valid_before_utc}")


def load_pair(setting: str, context: ssl.SSLContext, chain: Path, key: Path) -> None:
    """Has a context show a certificate, with its chain.

    Raises:
        CannotStart: a file cannot be read, the key is another's, too weak, or has a password.
    """

    def no_password() -> str:
        raise CannotStart(f"{setting} key: a key with a password cannot be used: nobody is there to type it")

    try:
        context.load_cert_chain(chain, key, password=no_password)
    except ssl.SSLError as error:
        what = "do not belong together" if error.reason == "KEY_VALUES_MISMATCH" else f"cannot be used: {error}"
        raise CannotStart(f"{setting} certificate {chain} and key {key} {what}") from error
    except OSError as error:
        raise CannotStart(f"{setting} {key} cannot be read: {error.strerror}") from error


def load_authority(setting: str, context: ssl.SSLContext, path: Path) -> None:
    """Has a context believe in the authorities of a file.

    Raises:
        CannotStart: it cannot be read, or holds none.
    """
    try:
        context.load_verify_locations(path)
    except ssl.SSLError as error:
        raise CannotStart(f"{setting} authority {path} cannot be used: {error}") from error
    except OSError as error:
        raise CannotStart(f"{setting} authority {path} cannot be read: {error.strerror}") from error


def issued(by: x509.Certificate, certificate: x509.Certificate) -> bool:
    """Whether the one bears the signature of the other."""
    try:
        certificate.verify_directly_issued_by(by)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def names(certificate: x509.Certificate) -> tuple[str, ...]:
    """The DNS names and addresses it is for, in small letters (RFC 9525: alternative names, never the common name)."""
    try:
        said = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    found = [name.lower() for name in said.get_values_for_type(x509.DNSName)]
    return (*found, *(str(address) for address in said.get_values_for_type(x509.IPAddress)))


def utc_now() -> datetime:
    """The time certificates are judged by: the machine's, whatever clock the platform has."""
    return datetime.now(UTC)
