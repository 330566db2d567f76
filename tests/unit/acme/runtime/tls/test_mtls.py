"""Certificates from files: both ends check each other, and new files are used for new handshakes."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from acme.runtime.databases import CannotStart
from acme.runtime.settings import MtlsSettings
from acme.runtime.tls.mtls import Certificates
from acme.telemetry import Metrics
from tests.certificates import DAY, Authority

LIMIT = 10.0


def certificates(paths: dict[str, Path], metrics: Metrics | None = None) -> Certificates:
    return Certificates(MtlsSettings(**{name: str(path) for name, path in paths.items()}), metrics or Metrics())


class Listener:
    """A TLS listener that answers what name the peer's certificate bears."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self.port = 0

    async def __aenter__(self) -> Listener:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0, ssl=self._context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        certificate = writer.get_extra_info("ssl_object").getpeercert()
        writer.write(certificate["subject"][0][0][1].encode())
        writer.close()

    async def ask(self, context: ssl.SSLContext, name: str = "localhost") -> str:
        """What it answers to a caller who expects `name`."""
        async with asyncio.timeout(LIMIT):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=context, server_hostname=name)
            try:
                return (await reader.read()).decode()
            finally:
                writer.close()

    async def refuses(self, context: ssl.SSLContext) -> bool:
        """Whether a caller gets no answer: with TLS 1.3 it may learn so only when it reads."""
        try:
            return await self.ask(context) == ""
        except (ssl.SSLError, ConnectionError):
            return True


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def server(authority: Authority, tmp_path: Path) -> Certificates:
    return certificates(authority.issue(tmp_path / "server", "localhost"))


@pytest.fixture
async def listener(server: Certificates) -> AsyncIterator[Listener]:
    async with Listener(server.server) as one:
        yield one


async def test_two_of_one_authority_talk(listener: Listener, authority: Authority, tmp_path: Path) -> None:
    client = certificates(authority.issue(tmp_path / "client", "caller"))
    assert await listener.ask(client.client) == "caller"


async def test_a_caller_without_a_certificate_is_refused(
    listener: Listener, authority: Authority, tmp_path: Path
) -> None:
    (tmp_path / "authority.pem").write_bytes(authority.pem)
    bare = ssl.create_default_context(cafile=str(tmp_path / "authority.pem"))
    assert await listener.refuses(bare)


async def test_a_caller_of_another_authority_is_refused(
    listener: Listener, authority: Authority, tmp_path: Path
) -> None:
    paths = Authority("Somebody else").issue(tmp_path / "client", "caller")
    client = certificates(paths)
    client.client.current.load_verify_locations(cadata=authority.pem.decode())  # it believes us; we do not believe it
    assert await listener.refuses(client.client)


async def test_a_server_of_another_authority_is_not_believed(listener: Listener, tmp_path: Path) -> None:
    client = certificates(Authority("Somebody else").issue(tmp_path / "client", "caller"))
    with pytest.raises(ssl.SSLCertVerificationError):
        await listener.ask(client.client)


async def test_a_server_of_another_name_is_not_believed(
    listener: Listener, authority: Authority, tmp_path: Path
) -> None:
    client = certificates(authority.issue(tmp_path / "client", "caller"))
    with pytest.raises(ssl.SSLCertVerificationError, match="elsewhere"):
        await listener.ask(client.client, "elsewhere")


async def test_new_files_are_used_for_the_next_handshake(
    listener: Listener, server: Certificates, authority: Authority, tmp_path: Path
) -> None:
    client = certificates(authority.issue(tmp_path / "client", "before"))
    assert await listener.ask(client.client) == "before"
    authority.issue(tmp_path / "client", "after")
    assert await listener.ask(client.client) == "before"  # nobody has looked yet
    await client.renew()
    assert await listener.ask(client.client) == "after"


async def test_an_authority_that_is_withdrawn_is_not_believed_any_more(
    listener: Listener, server: Certificates, authority: Authority, tmp_path: Path
) -> None:
    client = certificates(authority.issue(tmp_path / "client", "caller"))
    assert await listener.ask(client.client) == "caller"
    Authority("The next one").issue(tmp_path / "server", "localhost")
    await server.renew()
    assert await listener.refuses(client.client)


async def test_files_that_cannot_be_used_leave_the_old_ones_in_use(
    listener: Listener, server: Certificates, authority: Authority, tmp_path: Path
) -> None:
    client = certificates(authority.issue(tmp_path / "client", "caller"))
    for broken in (b"", b"no certificate"):
        (tmp_path / "server" / "certificate.pem").write_bytes(broken)
        await server.renew()
        assert await listener.ask(client.client) == "caller"
    (tmp_path / "server" / "key.pem").unlink()
    await server.renew()
    assert await listener.ask(client.client) == "caller"


def test_when_it_expires_is_a_metric(authority: Authority, tmp_path: Path) -> None:
    metrics = Metrics()
    certificates(authority.issue(tmp_path, "localhost", ends=DAY), metrics)
    (line,) = [
        line
        for line in metrics.render().decode().splitlines()
        if line.startswith("acme_certificate_expires_timestamp_seconds ")
    ]
    assert float(line.split()[1]) > 0


@pytest.mark.parametrize(
    ("begins", "ends", "told"),
    [
        (-2 * DAY, -DAY, "expired on .*: issue a new one"),
        (DAY, 2 * DAY, "is not valid before"),
    ],
    ids=["expired", "not yet"],
)
def test_a_certificate_outside_of_its_time_stops_the_start(
    authority: Authority, tmp_path: Path, begins: timedelta, ends: timedelta, told: str
) -> None:
    with pytest.raises(CannotStart, match=told):
        certificates(authority.issue(tmp_path, "localhost", begins=begins, ends=ends))


def test_a_certificate_that_nobody_would_believe_stops_the_start(authority: Authority, tmp_path: Path) -> None:
    paths = authority.issue(tmp_path, "localhost")
    paths["authority"].write_bytes(Authority("Somebody else").pem)
    with pytest.raises(CannotStart, match=r"was not issued by an authority in .*: the other processes would refuse it"):
        certificates(paths)


@pytest.mark.parametrize("name", ["certificate", "key", "authority"])
def test_a_file_that_is_not_there_stops_the_start(authority: Authority, tmp_path: Path, name: str) -> None:
    paths = authority.issue(tmp_path, "localhost")
    paths[name].unlink()
    with pytest.raises(CannotStart, match="cannot be read: No such file"):
        certificates(paths)


def test_one_file_without_the_others_is_no_setting() -> None:
    with pytest.raises(ValueError, match="set together"):
        MtlsSettings(certificate="a.pem")
