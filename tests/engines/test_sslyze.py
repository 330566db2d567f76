"""What sslyze finds at a gateway: no weak protocol, cipher or fault, and Mozilla's intermediate configuration.

It pins libraries of its own, so that it lives in an environment of its own, made once in the cache of the user. Where that
cannot be made, the tests are skipped with the reason.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.system.running import Platform
from tests.system.secured import Secured

pytestmark = pytest.mark.engines

VERSION: Final = "6.3.1"
INSTALL_LIMIT: Final = 600.0
"""Seconds."""
OLD: Final = ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1")
GOOD: Final = {
    "tls_1_2": {
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    },
    "tls_1_3": {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"},
}
SECURE: Final = {
    "heartbleed": ("is_vulnerable_to_heartbleed", False),
    "openssl_ccs_injection": ("is_vulnerable_to_ccs_injection", False),
    "robot": ("robot_result", "NOT_VULNERABLE_RSA_NOT_SUPPORTED"),
    "tls_compression": ("supports_compression", False),
    "tls_fallback_scsv": ("supports_fallback_scsv", True),
    "tls_1_3_early_data": ("supports_early_data", False),
    "tls_extended_master_secret": ("supports_ems_extension", True),
}
"""By scan, what it has to say of the server."""


def program() -> Path:
    """sslyze, installed when it is not there.

    Raises:
        LookupError: it cannot be had; the text says why.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "acme-tests"
    place = cache / f"sslyze-{VERSION}"
    if not (place / "bin" / "sslyze").exists():
        cache.mkdir(parents=True, exist_ok=True)
        pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", f"sslyze=={VERSION}"]
        for command in ([sys.executable, "-m", "venv", "--clear", str(place)], pip):
            done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_LIMIT, check=False)
            if done.returncode:
                raise LookupError(f"sslyze {VERSION} cannot be installed: {done.stderr.strip()[-300:]}")
    return place / "bin" / "sslyze"


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, Any], str]]:
    """(results by scan, what it says of Mozilla's configuration)."""
    try:
        sslyze = program()
    except LookupError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("scanned")
    one = Platform(folder / "platform")
    town = Secured(folder / "certificates", one)
    town.settle()
    try:
        one.start()
        with tempfile.NamedTemporaryFile(suffix=".json") as found:
            # Its exit status says whether all is as Mozilla has it; what is not, the tests name.
            said = subprocess.run(
                [
                    str(sslyze),
                    f"--json_out={found.name}",
                    "--mozilla_config=intermediate",
                    f"--certinfo_ca_file={town.folder}/localhost/authority.pem",
                    "--sni=localhost",
                    "--early_data",
                    "--resum",
                    *("--certinfo", "--elliptic_curves", "--heartbleed", "--openssl_ccs", "--robot", "--fallback"),
                    *("--compression", "--reneg", "--ems", "--sslv2", "--sslv3", "--tlsv1", "--tlsv1_1"),
                    *("--tlsv1_2", "--tlsv1_3"),
                    f"127.0.0.1:{town.port}",
                ],
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            assert "SCANS COMPLETED" in said.stdout, said.stdout + said.stderr
            (server,) = json.load(found)["server_scan_results"]
        results = {
            name: each["result"] for name, each in server["scan_result"].items() if each["status"] == "COMPLETED"
        }
        yield results, said.stdout
    finally:
        one.close()


def accepted(results: dict[str, Any], version: str) -> set[str]:
    return {each["cipher_suite"]["name"] for each in results[f"{version}_cipher_suites"]["accepted_cipher_suites"]}


@pytest.mark.parametrize("version", OLD)
def test_no_old_protocol_is_spoken(scan: tuple[dict[str, Any], str], version: str) -> None:
    results, _ = scan
    assert results[f"{version}_cipher_suites"]["rejected_cipher_suites"] != []
    assert accepted(results, version) == set()


@pytest.mark.parametrize("version", GOOD)
def test_only_good_ciphers_are_accepted(scan: tuple[dict[str, Any], str], version: str) -> None:
    assert accepted(scan[0], version) == GOOD[version]


@pytest.mark.parametrize("name", SECURE)
def test_no_known_fault_is_found(scan: tuple[dict[str, Any], str], name: str) -> None:
    key, wanted = SECURE[name]
    assert scan[0][name][key] == wanted


def test_nobody_can_renegotiate(scan: tuple[dict[str, Any], str]) -> None:
    found = scan[0]["session_renegotiation"]
    assert found["supports_secure_renegotiation"]
    assert not found["is_vulnerable_to_client_renegotiation_dos"]


def test_a_client_can_resume_its_session(scan: tuple[dict[str, Any], str]) -> None:
    assert scan[0]["session_resumption"]["tls_ticket_resumption_result"] == "FULLY_SUPPORTED"


def test_nothing_differs_from_mozillas_configuration_but_two_curves_that_are_stronger(
    scan: tuple[dict[str, Any], str],
) -> None:
    """Python 3.11 cannot choose more than one curve, and OpenSSL's own are those of Mozilla and two more."""
    told = scan[1].partition("COMPLIANCE AGAINST")[2]
    findings = {line.strip().removeprefix("* ").partition(":")[0] for line in told.splitlines() if "* " in line}
    assert findings == {"tls_curves"}
    curves = {each["name"] for each in scan[0]["elliptic_curves"]["supported_curves"]}
    assert curves == {"X25519", "secp256r1", "secp384r1"} | {"X448", "secp521r1"}
