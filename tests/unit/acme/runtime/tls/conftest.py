"""Certificates in files, and a gateway's contexts of them."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from acme.gateway.tls_settings import CertificateSettings, TlsSettings
from acme.runtime.tls.edge import EdgeCertificates
from acme.telemetry import Metrics
from tests.certificates import DAY, Authority
from tests.handshakes import believer


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def client(authority: Authority) -> ssl.SSLContext:
    return believer(authority.pem)


class Town:
    """Certificates in files, and a gateway's contexts of them."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self.folder, self.authority, self.metrics = folder, authority, Metrics()
        self.now = datetime.now(UTC)

    def issue(self, *names: str, by: Authority | None = None, ends: timedelta = DAY) -> CertificateSettings:
        paths = (by or self.authority).issue(self.folder / names[0].replace("*", "all"), *names, ends=ends)
        return CertificateSettings(str(paths["certificate"]), str(paths["key"]))

    def open(self, *certificates: CertificateSettings, **settings: object) -> EdgeCertificates:
        self.settings = TlsSettings(certificates=certificates, **settings)  # type: ignore[arg-type]  # as a test says
        return EdgeCertificates(self.settings, self.metrics, lambda: self.now)

    def metric(self, start: str) -> list[str]:
        return [line for line in self.metrics.render().decode().splitlines() if line.startswith(start)]


@pytest.fixture
def town(tmp_path: Path, authority: Authority) -> Town:
    return Town(tmp_path, authority)
