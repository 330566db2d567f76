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
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from acme.runtime.databases import CannotStart
from acme.runtime.settings import MtlsSettings
from acme.runtime.tls import files
from acme.runtime.tls.contexts import Renewing, Told
from acme.telemetry import Metrics, logger

log: Final = logger(__name__)

LOOK_EVERY: Final = 1.0
"""Seconds between two looks at the files."""

_SETTING: Final = "[mtls]"


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

    def _marks(self) -> tuple[files.Mark, ...]:
        return files.marks((self._chain, self._key, self._authority))

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
        files.load_authority(_SETTING, context, self._authority)
        files.load_pair(_SETTING, context, self._chain, self._key)
        return context

    def _check(self) -> float:
        """When the certificate expires. A process whose certificate nobody would accept says so, and does not start."""
        chain = files.certificates(_SETTING, "certificate", self._chain)
        authorities = files.certificates(_SETTING, "authority", self._authority)
        own = chain[0]
        files.check_time(_SETTING, self._chain, own, files.utc_now())
        if not any(files.issued(by, each) for by in authorities for each in chain):
            raise CannotStart(
                f"[mtls] certificate {self._chain} was not issued by an authority in {self._authority}:"
                " the other processes would refuse it"
            )
        return own.not_valid_after_utc.timestamp()
