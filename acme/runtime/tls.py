"""mTLS between processes: one certificate a process, and the authorities that make another one of ours.

    certificates = Certificates(config.mtls, metrics)
    await server.start("grpcs://0.0.0.0:50051", certificates.server)
    tasks.loop("mtls", certificates.renew, pause=LOOK_EVERY)

Both ends show a certificate and check the other's; a caller checks the name too (RFC 9525: a subject alternative name, never
the common name). Files are read again when they change: connections that stand go on, every new handshake has the new ones,
a withdrawn authority included. Files that do not fit together are told and not used, and the former ones stay.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from acme.runtime.databases import CannotStart
from acme.runtime.settings import MtlsSettings
from acme.telemetry import Metrics, logger

log: Final = logger(__name__)

LOOK_EVERY: Final = 1.0
"""Seconds between two looks at the files."""


class Renewing(ssl.SSLContext):
    """A context for a listener or a pool that lives longer than its certificates: each handshake uses `current`."""

    current: ssl.SSLContext

    def wrap_bio(self, *args: Any, **options: Any) -> ssl.SSLObject:
        """What asyncio's and uvloop's transports ask of a context, once a connection."""
        return self.current.wrap_bio(*args, **options)


class Told(ssl.SSLObject):
    """A handshake whose failure is logged: with TLS 1.3 the one who is refused learns hardly more than that."""

    def do_handshake(self) -> None:
        """As the base class does."""
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            reason = getattr(error, "verify_message", "") or error.reason or str(error)
            log.warning(
                "handshake refused", reason=reason, server=bool(self.server_side), peer=self.server_hostname or ""
            )
            raise


class Certificates:
    """What is in the files, as contexts for both directions."""

    def __init__(self, settings: MtlsSettings, metrics: Metrics) -> None:
        """Reads the files.

        Raises:
            CannotStart: they cannot be used; the text names the file and what is wrong.
        """
        self._chain, self._key = Path(settings.certificate), Path(settings.key)
        self._authority = Path(settings.authority)
        self.server: Final = Renewing(ssl.PROTOCOL_TLS_SERVER)
        """For listeners: callers without a certificate of ours are refused."""
        self.client: Final = Renewing(ssl.PROTOCOL_TLS_CLIENT)
        """For connections to others, whose name is checked."""
        self._expires = 0.0
        self._seen = self._marks()
        self._load()
        metrics.gauge(
            "acme_certificate_expires_timestamp_seconds",
            "When this process's certificate expires, in seconds since the Unix epoch.",
            (),
            lambda: {(): self._expires},
        )

    async def renew(self) -> None:
        """Looks whether a file changed, and reads them all if so."""
        marks = self._marks()
        if marks == self._seen:
            return
        self._seen = marks
        try:
            self._load()
        except CannotStart as error:
            log.error("the new certificate files are not used", error=str(error))
        else:
            log.info("certificates renewed", expires=datetime.fromtimestamp(self._expires, UTC).isoformat())

    def _marks(self) -> tuple[tuple[int, int, int] | None, ...]:
        """What a change of the files changes, symbolic links followed: Kubernetes swaps a link."""
        return tuple(_mark(path) for path in (self._chain, self._key, self._authority))

    def _load(self) -> None:
        expires = self._check()
        server, client = self._context(ssl.PROTOCOL_TLS_SERVER), self._context(ssl.PROTOCOL_TLS_CLIENT)
        server.verify_mode = ssl.CERT_REQUIRED
        self.server.current, self.client.current, self._expires = server, client, expires

    def _context(self, protocol: int) -> ssl.SSLContext:
        context = ssl.SSLContext(protocol)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.set_alpn_protocols(["h2"])
        context.sslobject_class = Told
        try:
            context.load_verify_locations(self._authority)
            context.load_cert_chain(self._chain, self._key, password=_no_password)
        except ssl.SSLError as error:
            what = "do not belong together" if error.reason == "KEY_VALUES_MISMATCH" else f"cannot be used: {error}"
            raise CannotStart(f"[mtls] certificate {self._chain} and key {self._key} {what}") from error
        except OSError as error:
            raise CannotStart(f"[mtls] {self._key} cannot be read: {error.strerror}") from error
        return context

    def _check(self) -> float:
        """When the certificate expires. A process whose certificate nobody would accept says so, and does not start."""
        chain, authorities = _read("certificate", self._chain), _read("authority", self._authority)
        own, now = chain[0], datetime.now(UTC)
        if own.not_valid_after_utc <= now:
            raise CannotStart(f"[mtls] certificate {self._chain} expired on {own.not_valid_after_utc}: issue a new one")
        if own.not_valid_before_utc > now:
            raise CannotStart(f"[mtls] certificate {self._chain} is not valid before {own.not_valid_before_utc}")
        if not any(_issued(by, each) for by in authorities for each in chain):
            raise CannotStart(
                f"[mtls] certificate {self._chain} was not issued by an authority in {self._authority}:"
                " the other processes would refuse it"
            )
        return own.not_valid_after_utc.timestamp()


def _mark(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _read(what: str, path: Path) -> Sequence[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise CannotStart(f"[mtls] {what} {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise CannotStart(f"[mtls] {what} {path} holds no certificate in PEM form") from error


def _issued(by: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(by)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _no_password() -> str:
    raise CannotStart("[mtls] key: a key with a password cannot be used: nobody is there to type it")
