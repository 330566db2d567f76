"""The gateway's certificates, as contexts for its listeners.

    certificates = EdgeCertificates(config.gateway.tls, metrics)
    context = certificates.context("required")          # for a listener; lives as long as that
    tasks.loop("tls", certificates.renew, pause=LOOK_EVERY)

A handshake begins in the front of its listener, which holds what is agreed on first: versions, session tickets, whether the
client shows a certificate. The name that the client asks for (SNI, RFC 6066) chooses a leaf, which holds one certificate and
the authorities of clients. A new certificate is a new leaf, and tickets of before are as good as ever; new authorities are
new fronts as well: a ticket of the old one's would let in who was believed then, without another look.

Versions and ciphers are Mozilla's "intermediate" (Server Side TLS 5.7) without its DHE suites: TLS 1.2 with forward secrecy
and AEAD only, and TLS 1.3.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from acme.gateway.tls_settings import CertificateSettings, Client, TlsSettings
from acme.runtime.databases import CannotStart
from acme.runtime.tls import files
from acme.runtime.tls.contexts import Renewing
from acme.runtime.tls.refusals import Counted, Listened, Refusals
from acme.telemetry import Metrics, logger

log: Final = logger(__name__)

CIPHERS: Final = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:@SECLEVEL=2"
)
"""Of TLS 1.2. The level (OpenSSL's) refuses keys of less than 112 bits, such as RSA below 2048."""
WARN: Final = (timedelta(days=30), timedelta(days=7), timedelta())
"""Times before the end of a certificate at which a line of the log says so."""
_SETTING: Final = "[gateway.tls]"
_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_MODES: Final[Mapping[Client, ssl.VerifyMode]] = {
    "none": ssl.CERT_NONE,
    "optional": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}

_Marks = Mapping[Path, files.Mark]


@dataclass(frozen=True, slots=True, eq=False)
class _Pair:
    """A certificate and its key, as they were read."""

    names: tuple[str, ...]
    expires: datetime
    leaf: ssl.SSLContext


class EdgeCertificates:
    """What is in the files of `[gateway.tls]`."""

    def __init__(self, settings: TlsSettings, metrics: Metrics, now: Callable[[], datetime] = files.utc_now) -> None:
        """Reads the files; `local` is the affair of whoever calls, who names that certificate among the others.

        Raises:
            CannotStart: they cannot be used; the text names the file and what is wrong.
        """
        self._now = now
        self._refusals = Refusals(metrics)
        self._listeners: list[tuple[Client, Renewing]] = []
        self._warned: dict[tuple[str, datetime], timedelta] = {}
        self._settings = settings
        self._read = self._tried = _marks(settings)
        """How the files looked when what is in use was read, and at the last look."""
        self._use([self._pair(settings, one) for one in settings.certificates])
        metrics.gauge(
            "acme_gateway_certificate_expires_timestamp_seconds",
            "When a certificate of the gateway's expires, in seconds since the Unix epoch, by the first name in it.",
            ("name",),
            lambda: {(pair.names[0],): pair.expires.timestamp() for pair in reversed(self._pairs)},
        )
        self._warn()

    def context(self, client: Client) -> ssl.SSLContext:
        """What one listener is given: it lives longer than what it shows."""
        made = Renewing(ssl.PROTOCOL_TLS_SERVER)
        made.current = self._front(self._settings, client)
        self._listeners.append((client, made))
        return made

    def covers(self, host: str) -> bool:
        """Whether a certificate is for this name or address."""
        return self._leaf(host) is not None

    def configure(self, settings: TlsSettings) -> None:
        """Other settings from now on, for new handshakes: all of them, or none.

        Raises:
            CannotStart: they cannot be used; nothing has changed.
        """
        self.prepare(settings)()

    def prepare(self, settings: TlsSettings) -> Callable[[], None]:
        """Reads what other settings name, and returns what puts it in force. Otherwise as `configure`."""
        seen = _marks(settings)
        pairs = [self._pair(settings, one) for one in settings.certificates]
        if not pairs:
            raise CannotStart(f"{_SETTING} names no certificate")
        fronts = (
            [] if self._same_fronts(settings, seen) else [self._front(settings, mode) for mode, _ in self._listeners]
        )

        def commit() -> None:
            self._use(pairs)
            for (_, listener), front in zip(self._listeners, fronts, strict=False):
                listener.current = front
            self._settings, self._read, self._tried = settings, seen, seen
            self._warn()

        return commit

    def _same_fronts(self, settings: TlsSettings, seen: _Marks) -> bool:
        """Whether listeners can keep theirs, and with them the sessions that clients may resume."""
        was, authority = self._settings, settings.authority
        if (settings.minimum, authority) != (was.minimum, was.authority):
            return False
        return not authority or seen[Path(authority)] == self._read[Path(authority)]

    async def renew(self) -> None:
        """Looks whether files changed, and reads those that did."""
        self._warn()
        seen = _marks(self._settings)
        if seen == self._tried:
            return
        self._tried = seen
        authority = self._settings.authority
        if authority and seen[Path(authority)] != self._read[Path(authority)]:
            try:
                self.configure(self._settings)
            except CannotStart as error:
                log.error("the new certificate files are not used", error=str(error))
            else:
                log.info("certificates renewed", authority=authority)
            return
        self._renew_pairs(seen)

    def _renew_pairs(self, seen: _Marks) -> None:
        """Each by itself: one that cannot be used does not keep the others from it."""
        pairs, read = list(self._pairs), dict(self._read)
        for number, wanted in enumerate(self._settings.certificates):
            paths = _paths(wanted)
            if all(seen[path] == self._read[path] for path in paths):
                continue
            try:
                pairs[number] = pair = self._pair(self._settings, wanted)
                if pair.expires <= self._now():
                    raise CannotStart(f"{_SETTING} certificate {wanted.certificate} expired on {pair.expires}")
            except CannotStart as error:
                pairs[number] = self._pairs[number]
                log.error("the new certificate files are not used", error=str(error))
                continue
            read |= {path: seen[path] for path in paths}
            log.info("certificates renewed", name=pair.names[0], expires=pair.expires.isoformat())
        self._read = read
        self._use(pairs)

    def _use(self, pairs: list[_Pair]) -> None:
        if not pairs:
            raise CannotStart(f"{_SETTING} names no certificate")
        self._pairs = tuple(pairs)
        self._leaves = {name: pair.leaf for pair in reversed(pairs) for name in pair.names}

    def _pair(self, settings: TlsSettings, wanted: CertificateSettings) -> _Pair:
        chain = Path(wanted.certificate)
        own = files.certificates(_SETTING, "certificate", chain)[0]
        names = files.names(own)
        if not names:
            raise CannotStart(f"{_SETTING} certificate {chain} is for no name: it has no subject alternative name")
        leaf = self._context()
        if settings.authority:
            files.load_authority(_SETTING, leaf, Path(settings.authority))
            # Whether a certificate is asked for, the front says; but Python tells of one only where the leaf would, too.
            leaf.verify_mode = ssl.CERT_OPTIONAL
        files.load_pair(_SETTING, leaf, chain, Path(wanted.key))
        return _Pair(names, own.not_valid_after_utc, leaf)

    def _leaf(self, name: str) -> ssl.SSLContext | None:
        name = name.lower()
        return self._leaves.get(name) or self._leaves.get("*." + name.partition(".")[2])

    def _front(self, settings: TlsSettings, client: Client) -> ssl.SSLContext:
        front = self._context()
        front.minimum_version = _VERSIONS[settings.minimum]
        front.verify_mode = _MODES[client]
        front.verify_flags |= ssl.VERIFY_X509_STRICT
        front.sslobject_class = Counted

        def choose(handshake: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
            handshake.context = (self._leaf(name) if name else None) or self._pairs[0].leaf

        front.sni_callback = choose
        return front

    def _warn(self) -> None:
        """Says what expires soon: once for each time of `WARN`, and at every start."""
        now = self._now()
        for pair in self._pairs:
            left = pair.expires - now
            due = [limit for limit in WARN if left <= limit]
            key = pair.names[0], pair.expires
            if due and self._warned.get(key) != due[-1]:
                self._warned[key] = due[-1]
                told = log.error if left <= timedelta() else log.warning
                what = "a certificate has expired" if left <= timedelta() else "a certificate expires soon"
                told(what, name=pair.names[0], expires=pair.expires.isoformat(), days=max(0, left.days))

    def _context(self) -> Listened:
        """What fronts and leaves have in common: OpenSSL takes some of it from the one, and some from the other."""
        context = Listened(ssl.PROTOCOL_TLS_SERVER)
        context.refusals = self._refusals
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(CIPHERS)
        context.set_alpn_protocols(["http/1.1"])
        # Nobody renegotiates; and the client, who knows whether it has AES in hardware, chooses among the ciphers.
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
        return context


def _paths(wanted: CertificateSettings) -> tuple[Path, Path]:
    return Path(wanted.certificate), Path(wanted.key)


def _marks(settings: TlsSettings) -> _Marks:
    paths = [path for one in settings.certificates for path in _paths(one)]
    paths += [Path(settings.authority)] if settings.authority else []
    return dict(zip(paths, files.marks(paths), strict=True))
