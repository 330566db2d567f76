"""HTTPS from outside, with real processes: certificates renewed under load, `acme up --tls`, clients of other make."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.handshakes import believer
from tests.system.running import PASSWORD, Platform, call, platform, wait_for
from tests.system.secured import Secured

SOON = 2.0
"""Seconds after which a new certificate is shown, at the latest."""


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    one = Platform(folder / "platform")
    town = Secured(folder / "certificates", one)
    town.settle()
    try:
        one.start()
        yield town
    finally:
        one.close()


# ---- renewal under load -----------------------------------------------------------------------------------------


class Load:
    """Clients that ask all the time, on connections that stand and on new ones, and what went wrong."""

    def __init__(self, town: Secured, token: str) -> None:
        self._town, self._stopped = town, False
        self.answered = self.handshakes = 0
        self.begun = asyncio.Event()
        """Set with the first answer."""
        self.failed: list[str] = []
        head = f"GET /v1/users/me HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        self._keeping, self._closing = f"{head}\r\n".encode(), f"{head}Connection: close\r\n\r\n".encode()

    async def standing(self) -> None:
        """One connection, from the first request to the last."""
        reader, writer = await self._connect()
        with contextlib.closing(writer):
            while not self._stopped:
                await self._ask(reader, writer, self._keeping)

    async def coming(self) -> None:
        """A new connection for each request."""
        while not self._stopped:
            try:
                reader, writer = await self._connect()
            except OSError as error:
                self.failed.append(f"{type(error).__name__}: {error}")
                continue
            with contextlib.closing(writer):
                await self._ask(reader, writer, self._closing)

    def stop(self) -> None:
        self._stopped = True

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self.handshakes += 1
        context = self._town.client()
        return await asyncio.open_connection("127.0.0.1", self._town.port, ssl=context, server_hostname="localhost")

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
        try:
            async with asyncio.timeout(10):
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
                await reader.readexactly(length)
                self.begun.set()
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            self.failed.append(f"{type(error).__name__}: {error}")
            self.stop()  # what comes after it says nothing more
            return
        if head.startswith(b"HTTP/1.1 200 "):
            self.answered += 1
        else:
            self.failed.append(head.decode())


@pytest.mark.drill
async def test_certificates_are_renewed_under_load_without_a_failed_request(secured: Secured, measured: Any) -> None:
    load = Load(secured, secured.token("load@example.com"))
    kinds = [load.standing] * 8 + [load.coming] * 4
    clients = [asyncio.ensure_future(kind()) for kind in kinds]  # noqa: TID251  a test's own tasks
    slowest = 0.0
    await load.begun.wait()  # a busy machine takes a moment
    for turn in range(5):
        before = await asyncio.to_thread(secured.shown, "localhost")
        answered = load.answered
        secured.issue("localhost")
        renewed = time.monotonic()
        while await asyncio.to_thread(secured.shown, "localhost") == before:
            assert time.monotonic() - renewed < SOON, f"turn {turn}"
            await asyncio.sleep(0.02)
        slowest = max(slowest, time.monotonic() - renewed)
        assert load.answered > answered
    load.stop()
    await asyncio.gather(*clients)
    assert load.failed == []
    measured(
        f"requests and {load.handshakes} handshakes while certificates were renewed 5 times, 0 failed", load.answered
    )
    measured("seconds until a new certificate was shown, at most", round(slowest, 2))


async def test_files_that_do_not_fit_are_told_and_the_former_ones_stay(secured: Secured) -> None:
    key = secured.folder / "localhost" / "key.pem"
    before, good = secured.shown("localhost"), key.read_bytes()
    key.write_bytes((secured.folder / "other.example" / "key.pem").read_bytes())
    told = f"certificate {secured.folder}/localhost/certificate.pem and key"
    wait_for("the refusal", lambda: told in secured.one.log() and "do not belong together" in secured.one.log())
    assert secured.shown("localhost") == before
    key.write_bytes(good)
    assert secured.ask("GET", "/healthz").status == 200


# ---- from outside -----------------------------------------------------------------------------------------------


def test_what_is_told_of_the_platform_is_told_with_https(secured: Secured) -> None:
    ready = secured.one.ready
    for name in ("api", "openapi", "health", "readiness", "metrics", "keys"):
        assert ready[name].startswith("https://127.0.0.1:"), name
    assert ready["authority"] == ""
    assert b"acme_gateway_certificate_expires_timestamp_seconds{" in secured.ask("GET", "/metrics").body


def test_links_in_mails_lead_to_https(secured: Secured) -> None:
    secured.token("links@example.com")
    mails = [mail for mail in secured.one.mails() if "links@example.com" in str(mail)]
    assert any(f"https://127.0.0.1:{secured.port}/" in str(mail) for mail in mails), mails


def test_plain_http_is_sent_to_https(secured: Secured) -> None:
    where = f"http://localhost:{secured.plain}"
    moved = call(where, "DELETE", "/v1/projects/x?a=%2F")
    assert (moved.status, moved.headers["Location"]) == (308, f"{secured.api}/v1/projects/x?a=%2F")
    assert call(where, "GET", "/", headers={"Host": "evil.example"}).status == 421


def test_who_has_no_certificate_does_not_get_in_where_one_is_required(secured: Secured) -> None:
    machines = f"https://localhost:{secured.machines}"
    with pytest.raises((ssl.SSLError, ConnectionError)):
        call(machines, "GET", "/healthz", context=secured.client())
    assert call(machines, "GET", "/healthz", context=secured.client("machine.example")).status == 200
    assert call(machines, "GET", "/v1/projects", context=secured.client("machine.example")).status == 401


OPENSSL = shutil.which("openssl")


def s_client(secured: Secured, *options: str) -> str:
    """What `openssl s_client` says of a handshake."""
    command = [str(OPENSSL), "s_client", "-connect", f"127.0.0.1:{secured.port}", "-servername", "localhost"]
    authority = str(secured.folder / "localhost" / "authority.pem")
    said = subprocess.run(
        [*command, "-CAfile", authority, *options], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30
    )
    return said.stdout + said.stderr


@pytest.mark.skipif(OPENSSL is None, reason="there is no openssl on the PATH")
@pytest.mark.parametrize(
    ("options", "agreed"),
    [
        (("-tls1_3",), "TLSv1.3"),
        (("-tls1_2",), "TLSv1.2"),
        (("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"), ""),
        (("-tls1", "-cipher", "ALL:@SECLEVEL=0"), ""),
        (("-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"), "TLSv1.2"),
        (("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0"), ""),
        (("-tls1_2", "-cipher", "aNULL:eNULL:@SECLEVEL=0"), ""),
        (("-tls1_2", "-cipher", "kRSA:@SECLEVEL=0"), ""),
        (("-tls1_2", "-cipher", "DHE:@SECLEVEL=0"), ""),
    ],
)
def test_openssl_agrees_on_what_is_safe_and_on_nothing_else(
    secured: Secured, options: tuple[str, ...], agreed: str
) -> None:
    said = s_client(secured, *options)
    if not agreed:
        assert "Cipher is (NONE)" in said, said
        return
    assert "Verify return code: 0 (ok)" in said, said
    assert f"New, {agreed}, Cipher is " in said or f"Protocol  : {agreed}" in said, said


@pytest.mark.skipif(OPENSSL is None, reason="there is no openssl on the PATH")
def test_openssl_finds_neither_compression_nor_renegotiation_and_http_1_1_alone(secured: Secured) -> None:
    said = s_client(secured, "-tls1_2", "-alpn", "h2,http/1.1")
    for told in ("Compression: NONE", "Secure Renegotiation IS supported", "ALPN protocol: http/1.1"):
        assert told in said, said


# ---- a local authority, and several processes -------------------------------------------------------------------


@pytest.mark.drill
def test_a_local_authority_is_made_once_and_believed_by_who_is_told_of_it(tmp_path: Path) -> None:
    with platform(tmp_path, "--port", "0", "--tls") as one:
        authority = Path(one.ready["authority"])
        assert authority == one.data / "tls" / "authority.pem"
        port = urlsplit(one.api).port
        made = authority.read_bytes()
        for host in ("localhost", "127.0.0.1"):
            believing = believer(authority, check_name=True)
            reply = call(f"https://{host}:{port}", "GET", "/readyz", context=believing)
            assert reply.status == 200
            assert "Strict-Transport-Security" not in reply.headers
        with pytest.raises(ssl.SSLCertVerificationError):
            call(one.api, "GET", "/readyz", context=ssl.create_default_context())
        assert one.stop() == 0
        one.start("--port", "0", "--tls")
        assert authority.read_bytes() == made


@pytest.mark.drill
def test_in_several_processes_a_certificate_stands_for_a_service_account_that_workers_believe_in(
    tmp_path: Path,
) -> None:
    one = Platform(tmp_path / "platform", "--split", "--port", "0")
    town = Secured(tmp_path / "certificates", one)
    town.settle()
    try:
        one.start(limit=120)
        ada = town.token("ada@example.com")
        organization = town.ask("POST", "/v1/organizations", {"name": "Machines"}, token=ada).json["id"]
        accounts = f"/v1/organizations/{organization}/serviceAccounts"
        made = town.ask("POST", accounts, {"name": "Reports", "role": "member"}, token=ada)
        assert made.status == 201, made.body
        project = town.ask("POST", "/v1/projects", {"name": "Seen", "organization_id": organization}, token=ada)
        assert project.status == 201, project.body
        assert one.stop() == 0
        account = made.json["id"]
        identity = f'"DNS:reports.example" = {{ principal = "{account}", scopes = ["read"] }}'
        town.settle("[gateway.tls.identities]", identity)
        one.start(limit=120)
        machines, machine = f"https://localhost:{town.machines}", town.client("reports.example")
        listed = call(machines, "GET", "/v1/projects", context=machine)
        assert (listed.status, [each["name"] for each in listed.json["projects"]]) == (200, ["Seen"])
        refused = call(machines, "POST", "/v1/projects", {"name": "No"}, context=machine)
        assert (refused.status, refused.json["code"]) == (403, "insufficient_scope")
        assert call(machines, "GET", "/v1/projects", context=town.client("stranger.example")).status == 401
        ada = str(
            town.ask("POST", "/v1/sessions", {"email": "ada@example.com", "password": PASSWORD}).json["access_token"]
        )
        assert town.ask("DELETE", f"{accounts}/{account}", token=ada).status < 300
        wait_for("the end of it", lambda: call(machines, "GET", "/v1/projects", context=machine).status == 401, SOON)
    finally:
        one.close()
