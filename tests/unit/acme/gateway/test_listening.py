"""Listeners: HTTPS, plain HTTP and redirects side by side, and what is said at each."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from acme.contracts.authority.v1 import Membership
from acme.gateway.listening import Listening, secured
from acme.gateway.settings import GatewaySettings
from acme.gateway.tls_settings import CertificateSettings, IdentitySettings, TlsSettings
from acme.runtime.tls.edge import EdgeCertificates
from acme.telemetry import Metrics
from tests.certificates import Authority
from tests.handshakes import believer
from tests.unit.acme.gateway.rig import GOOD, ID, Answer, Connection, Rig, running

SUBJECT = "sva_01m821mp30er1rnjnb3atkr46z"
PATH = f"/v1/projects/{ID}"


class Town:
    """A gateway over TLS whose clients may show certificates, with a plain listener and a redirect beside it."""

    def __init__(self, folder: Path, **tls: Any) -> None:
        self.folder, self.authority = folder, Authority()
        own = self.authority.issue(folder / "server", "localhost")
        pair = CertificateSettings(str(own["certificate"]), str(own["key"]))
        identity = IdentitySettings(SUBJECT, ("projects.read",))
        self.settings = TlsSettings(
            **{
                "certificates": (pair,),
                "authority": str(own["authority"]),
                "client": "optional",
                "identities": {"DNS:machine.example": identity},
                **tls,
            }
        )
        self.edge = EdgeCertificates(self.settings, Metrics())
        self.plain, self.redirect = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
        self.rig: Rig

    def client(self, name: str = "", by: Authority | None = None) -> ssl.SSLContext:
        """A client, with a certificate for this name."""
        context = believer(self.authority.pem)
        if name:
            paths = (by or self.authority).issue(self.folder / name, name)
            context.load_cert_chain(paths["certificate"], paths["key"])
        return context

    @asynccontextmanager
    async def connection(self, context: ssl.SSLContext | None, port: int = 0) -> AsyncIterator[Connection]:
        name = "localhost" if context is not None else None
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port or self.rig.port, ssl=context, server_hostname=name
        )
        try:
            yield Connection(reader, writer)
        finally:
            writer.transport.abort()

    async def ask(
        self, context: ssl.SSLContext | None, path: str = PATH, *, port: int = 0, bearer: str | None = None
    ) -> Answer:
        async with self.connection(context, port) as connection:
            connection.send(self.rig.request("GET", path, None, bearer))
            return await connection.answer()


@asynccontextmanager
async def open_town(folder: Path, **tls: Any) -> AsyncIterator[Town]:
    town = Town(folder, **tls)
    further = [
        Listening(town.plain),
        Listening(town.redirect, None, lambda host: "https://localhost:1" if host == "localhost" else ""),
    ]
    context = town.edge.context(town.settings.client)
    async with running(context=context, further=further, tls=town.settings) as town.rig:
        member = Membership(organization_id="org_1", role="member", default_role="member")
        town.rig.authority.members[SUBJECT] = [member]
        yield town


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    async with open_town(tmp_path) as one:
        yield one


# ---- listeners --------------------------------------------------------------------------------------------------


async def test_answers_over_https_say_that_https_is_to_be_used(town: Town) -> None:
    answer = await town.ask(town.client(), "/healthz")
    assert (answer.status, answer.headers["strict-transport-security"]) == (200, "max-age=31536000")
    refusal = await town.ask(town.client(), "/nowhere")
    assert refusal.headers["strict-transport-security"] == "max-age=31536000"


async def test_answers_over_plain_http_do_not(town: Town) -> None:
    answer = await town.ask(None, "/healthz", port=town.plain.getsockname()[1])
    assert answer.status == 200
    assert "strict-transport-security" not in answer.headers


async def test_a_redirect_answers_beside_the_api(town: Town) -> None:
    answer = await town.ask(None, "/v1/projects?a=b", port=town.redirect.getsockname()[1])
    assert (answer.status, answer.headers["location"]) == (308, "https://localhost:1/v1/projects?a=b")


@pytest.mark.parametrize(
    ("tls", "line"),
    [
        (TlsSettings(), b"Strict-Transport-Security: max-age=31536000\r\n"),
        (TlsSettings(hsts=60), b"Strict-Transport-Security: max-age=60\r\n"),
        (TlsSettings(hsts=0), b""),
        (TlsSettings(local=True), b""),
    ],
)
def test_how_long_https_is_to_be_used_is_a_setting_and_nothing_for_a_local_authority(
    tls: TlsSettings, line: bytes
) -> None:
    head = secured(GatewaySettings(tls=tls)).of(200, "", 0.0)
    assert head.count(b"Strict-Transport-Security") == (1 if line else 0)
    assert line in head


async def test_plain_http_at_the_https_port_gets_no_answer_and_harms_nobody(town: Town) -> None:
    with pytest.raises(ConnectionError):
        await town.ask(None, "/healthz")
    assert (await town.ask(town.client(), "/healthz")).status == 200


async def test_who_does_not_finish_a_handshake_is_cut_off(tmp_path: Path) -> None:
    async with open_town(tmp_path, handshake=0.2) as town, town.connection(None) as connection:
        connection.send(b"\x16\x03\x01")  # the beginning of a ClientHello
        assert await connection.closed()
        told = 'acme_gateway_cut_connections_total{reason="slow_handshake"} 1.0'
        assert told in town.rig.metrics.render().decode().splitlines()


async def test_a_drain_closes_every_listener_and_idle_connections_at_each(town: Town) -> None:
    ports = [town.rig.port, *(one.getsockname()[1] for one in (town.plain, town.redirect))]
    async with town.connection(town.client()) as secure, town.connection(None, ports[1]) as plain:
        for connection in (secure, plain):
            connection.send(town.rig.request("GET", "/healthz", bearer=None))
            assert (await connection.answer()).status == 200
        await town.rig.gateway.drain(1.0)
        assert await secure.closed()
        assert await plain.closed()
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)


# ---- client certificates ----------------------------------------------------------------------------------------


async def test_a_certificate_that_stands_for_a_service_account_needs_no_token(town: Town) -> None:
    assert (await town.ask(town.client("machine.example"))).status == 200
    (call,) = town.rig.projects.calls
    assert (call.principal.id, call.principal.organization) == (SUBJECT, "org_1")
    assert call.principal.session.startswith("crt_")
    assert call.credentials.startswith("acc_")


async def test_its_scopes_are_what_was_declared(town: Town) -> None:
    async with town.connection(town.client("machine.example")) as connection:
        connection.send(town.rig.request("POST", "/v1/projects", {"name": "x"}, None))
        (await connection.answer()).problem(403, "insufficient_scope")


async def test_a_token_goes_before_the_certificate(town: Town) -> None:
    assert (await town.ask(town.client("machine.example"), bearer=GOOD)).status == 200
    assert [call.principal.id for call in town.rig.projects.calls] == ["usr_1"]
    (await town.ask(town.client("machine.example"), bearer="nonsense")).problem(401, "invalid_token")


@pytest.mark.parametrize("name", ["", "somebody.example"])
async def test_who_stands_for_nobody_needs_a_token(town: Town, name: str) -> None:
    context = town.client(name)
    (await town.ask(context)).problem(401, "token_missing")
    assert (await town.ask(context, bearer=GOOD)).status == 200


async def test_a_header_that_tells_of_a_certificate_is_not_believed(town: Town) -> None:
    async with town.connection(None, town.plain.getsockname()[1]) as connection:
        told = {"X_Client_Cert": "machine.example", "X_Forwarded_Client_Cert": "DNS=machine.example"}
        connection.send(town.rig.request("GET", PATH, None, None, **told))
        (await connection.answer()).problem(401, "token_missing")


async def test_a_service_account_that_is_deleted_ends_on_connections_that_stand(town: Town) -> None:
    async with town.connection(town.client("machine.example")) as connection:
        connection.send(town.rig.request("GET", PATH, None, None))
        assert (await connection.answer()).status == 200
        town.rig.authority.change_grants(SUBJECT)
        await town.rig.verifier.poll()
        connection.send(town.rig.request("GET", PATH, None, None))
        (await connection.answer()).problem(401, "invalid_token")


async def test_other_declarations_count_at_once(town: Town) -> None:
    async with town.connection(town.client("machine.example")) as connection:
        connection.send(town.rig.request("GET", PATH, None, None))
        assert (await connection.answer()).status == 200
        town.rig.gateway.doors.configure(GatewaySettings())
        connection.send(town.rig.request("GET", PATH, None, None))
        (await connection.answer()).problem(401, "token_missing")
