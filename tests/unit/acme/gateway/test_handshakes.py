"""Connections whose handshake is not done: counted, limited, and none of them remains."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from acme.gateway.peers import ConnectionSettings
from acme.gateway.tls_settings import CertificateSettings, TlsSettings
from acme.runtime.tls.edge import EdgeCertificates
from acme.telemetry import Metrics
from tests.certificates import Authority
from tests.handshakes import believer
from tests.unit.acme.gateway.rig import Rig, running

FEW = 4
LIMIT = 10.0


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT):
        while not condition():  # noqa: ASYNC110  nobody tells when a connection is gone
            await asyncio.sleep(0.01)


class Town:
    """A gateway over TLS with room for few connections of one address."""

    def __init__(self, rig: Rig, authority: Authority) -> None:
        self.rig, self.authority = rig, authority
        self._raw: list[socket.socket] = []

    @property
    def open(self) -> int:
        """How many connections it counts."""
        return len(self.rig.gateway.doors.peers)

    def knock(self, source: str = "127.0.0.1") -> socket.socket:
        """Connects, and says nothing."""
        one = socket.create_connection(("127.0.0.1", self.rig.port), source_address=(source, 0))
        one.setblocking(False)
        self._raw.append(one)
        return one

    async def gone(self, one: socket.socket) -> bool:
        """Whether it is cut off."""
        try:
            async with asyncio.timeout(LIMIT):
                return await asyncio.get_running_loop().sock_recv(one, 1) == b""
        except ConnectionError:
            return True

    async def status(self) -> int:
        """What an honest client is answered."""
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.rig.port, ssl=believer(self.authority.pem), server_hostname="localhost"
        )
        try:
            writer.write(self.rig.request("GET", "/healthz", bearer=None))
            async with asyncio.timeout(LIMIT):
                return int((await reader.readuntil(b"\r\n\r\n")).split()[1])
        finally:
            writer.transport.abort()

    def close(self) -> None:
        for one in self._raw:
            one.close()


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    authority = Authority()
    own = authority.issue(tmp_path, "localhost")
    pair = CertificateSettings(str(own["certificate"]), str(own["key"]))
    tls = TlsSettings(certificates=(pair,))
    edge = EdgeCertificates(tls, Metrics())
    connections = ConnectionSettings(per_address=FEW)
    async with running(context=edge.context("none"), tls=tls, connections=connections) as rig:
        one = Town(rig, authority)
        try:
            yield one
        finally:
            one.close()


async def test_a_connection_counts_before_its_handshake(town: Town) -> None:
    for number in range(1, FEW + 1):
        town.knock()
        await until(lambda number=number: town.open == number)  # type: ignore[misc]  # a default binds it
    assert await town.gone(town.knock())
    assert town.open == FEW


async def test_who_says_nothing_leaves_room_for_other_addresses(town: Town) -> None:
    silent = [town.knock("127.0.0.2") for _ in range(10 * FEW)]
    for one in silent[FEW:]:
        assert await town.gone(one)
    assert town.open == FEW
    assert await town.status() == 200


async def test_a_connection_counts_once_after_it(town: Town) -> None:
    for _ in range(2 * FEW):
        assert await town.status() == 200
        await until(lambda: town.open == 0)


async def test_who_goes_in_the_middle_leaves_its_room(town: Town) -> None:
    ones = [town.knock() for _ in range(FEW)]
    await until(lambda: town.open == FEW)
    for number, one in enumerate(ones):
        if number % 2:
            one.send(b"\x16\x03\x01\x02")
        one.close()
    await until(lambda: town.open == 0)
    assert await town.status() == 200


async def test_who_speaks_no_tls_is_cut_off_and_leaves_its_room(town: Town) -> None:
    one = town.knock()
    one.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    async with asyncio.timeout(LIMIT):
        try:
            while data := await asyncio.get_running_loop().sock_recv(one, 100):
                assert not data.startswith(b"HTTP/")  # an alert of TLS, perhaps
        except ConnectionError:
            pass
    await until(lambda: town.open == 0)


async def test_a_request_right_behind_the_handshake_is_answered(town: Town) -> None:
    loop = asyncio.get_running_loop()
    raw, incoming, outgoing = town.knock(), ssl.MemoryBIO(), ssl.MemoryBIO()
    secure = believer(town.authority.pem).wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        secure.do_handshake()
    await loop.sock_sendall(raw, outgoing.read())
    while True:
        incoming.write(await loop.sock_recv(raw, 65536))
        try:
            secure.do_handshake()
            break
        except ssl.SSLWantReadError:
            continue
    secure.write(town.rig.request("GET", "/healthz", bearer=None))
    await loop.sock_sendall(raw, outgoing.read())  # the end of the handshake and the request, in one piece
    answer = b""
    async with asyncio.timeout(LIMIT):
        while b"\r\n\r\n" not in answer:
            incoming.write(await loop.sock_recv(raw, 65536))
            try:
                answer += secure.read()
            except ssl.SSLWantReadError:
                continue
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


async def test_the_end_of_the_gateway_ends_them(town: Town) -> None:
    one = town.knock()
    await until(lambda: town.open == 1)
    await town.rig.gateway.close()
    assert await town.gone(one)
    assert town.open == 0
