"""Addresses, log-in and TLS of Redis. What it promises as a port is in tests/contract."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from acme.drivers.clock import SystemClock
from acme.drivers.redis import Address, open_broadcast, open_cache
from acme.drivers.spaces import Spaces
from acme.errors import Unavailable
from acme.ports import LOST
from acme.tasks import Tasks
from acme.telemetry import Metrics
from tests.redis_server import RedisServer

LONG = 60.0
PATIENT = 2.0
"""Seconds: a TLS handshake on a busy machine."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    running = RedisServer(tmp_path_factory.mktemp("redis"), "--requirepass", "hush")
    running.start()
    yield running
    running.kill()


@asynccontextmanager
async def cache(url: str) -> AsyncIterator[Spaces]:
    async with Tasks("test", Metrics()) as tasks:
        store = open_cache(url, clock=SystemClock(), tasks=tasks, metrics=Metrics(), timeout=PATIENT)
        yield store
        await store.close()


def measured(metrics: Metrics) -> dict[tuple[str, str, str], float]:
    """How many operations there were, by database, operation and error."""
    found = re.findall(
        r'^db_client_operation_duration_seconds_count{db_namespace="(.*?)",db_operation_name="(.*?)",'
        r'db_system_name="redis",error_type="(.*?)"} (.*)$',
        metrics.render().decode(),
        re.MULTILINE,
    )
    return {(database, operation, error): float(count) for database, operation, error, count in found}


async def test_each_operation_is_measured_by_its_name_and_nothing_that_was_sent(server: RedisServer) -> None:
    metrics = Metrics()
    async with Tasks("test", metrics) as tasks:
        url = f"redis://:hush@127.0.0.1:{server.port}/2"
        store = open_cache(url, clock=SystemClock(), tasks=tasks, metrics=metrics, timeout=PATIENT)
        things = store.space("things")
        await things.set("ada@example.com", b"1", ttl=LONG)
        for _ in range(2):
            await things.get("ada@example.com")
        await things.increment("count", ttl=LONG)
        await store.close()
    seen = measured(metrics)
    assert (seen["2", "SET", ""], seen["2", "GET", ""], seen["2", "MULTI", ""]) == (1, 2, 1)
    assert {operation for _, operation, _ in seen} <= {"SET", "GET", "MULTI", "PING"}
    assert b"ada" not in metrics.render()


async def test_an_operation_that_failed_is_measured_by_the_kind_of_its_error(server: RedisServer) -> None:
    metrics = Metrics()
    async with Tasks("test", metrics) as tasks:
        url = f"redis://:wrong@127.0.0.1:{server.port}/0"
        store = open_cache(url, clock=SystemClock(), tasks=tasks, metrics=metrics, timeout=PATIENT)
        assert await store.space("things").get("a") is None
        await store.close()
    assert measured(metrics)["0", "GET", "AuthenticationError"] == 1


def test_the_database_is_the_one_the_url_names() -> None:
    assert [Address(url).database for url in ("redis://h", "redis://h/", "redis://h:1/7", "redis://h?db=3")] == [
        0,
        0,
        7,
        3,
    ]


def test_an_option_that_nobody_knows_is_refused_without_showing_the_password() -> None:
    with pytest.raises(
        ValueError, match=r"unknown in the URL of Redis: retry, ssl_cert_reqs; there are db, "
    ) as caught:
        Address("rediss://user:hush@h/0?ssl_cert_reqs=none&retry=9")
    assert "hush" not in str(caught.value)


async def test_the_password_of_the_url_logs_in(server: RedisServer) -> None:
    async with cache(f"redis://:hush@127.0.0.1:{server.port}/0") as store:
        things = store.space("things")
        await things.set("a", b"1", ttl=LONG)
        assert await things.get("a") == b"1"
        assert store.state == "ok"


@pytest.mark.parametrize("user", ["", ":wrong@", "nobody:hush@"])
async def test_a_wrong_password_is_a_miss_and_is_named_and_never_shown(
    server: RedisServer, user: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with cache(f"redis://{user}127.0.0.1:{server.port}/0") as store:
        things = store.space("things")
        assert await things.get("a") is None
        with pytest.raises(Unavailable):
            await things.increment("n", ttl=LONG)
        assert store.state.startswith("it refuses the log-in for ")
    shown = "".join(capsys.readouterr())
    assert "wrong" not in shown
    assert "hush" not in shown


async def test_databases_of_one_redis_are_apart(server: RedisServer) -> None:
    one, two = (f"redis://:hush@127.0.0.1:{server.port}/{n}" for n in (1, 2))
    async with cache(one) as first, cache(two) as second:
        await first.space("things").set("a", b"1", ttl=LONG)
        assert await second.space("things").get("a") is None


# TLS: the server of the tests has none, so a proxy with a certificate stands before it


def certificate(folder: Path, name: str) -> Path:
    """A self-signed certificate for 127.0.0.1, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


@asynccontextmanager
async def proxy(port: int, pem: Path) -> AsyncIterator[int]:
    """A TLS listener in front of `port`; its own port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer), return_exceptions=True)

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    yield listening.sockets[0].getsockname()[1]
    listening.close()


async def test_over_tls_the_certificate_is_checked(server: RedisServer, tmp_path: Path) -> None:
    ours, other = certificate(tmp_path, "ours"), certificate(tmp_path, "other")
    async with proxy(server.port, ours) as port:
        where = f"rediss://:hush@127.0.0.1:{port}/0"
        async with cache(f"{where}?ssl_ca_certs={ours}") as store:
            assert await store.space("things").increment("n", ttl=LONG) == 1
        for url in (where, f"{where}?ssl_ca_certs={other}"):
            async with cache(url) as store:
                assert await store.space("things").get("n") is None
                assert store.state != "ok"


async def test_broadcast_over_tls_is_heard(server: RedisServer, tmp_path: Path) -> None:
    pem = certificate(tmp_path, "ours")
    async with proxy(server.port, pem) as port, Tasks("test", Metrics()) as tasks:
        url = f"rediss://:hush@127.0.0.1:{port}/0?ssl_ca_certs={pem}"
        broadcast = open_broadcast(url, tasks=tasks, metrics=Metrics(), timeout=PATIENT)
        async with broadcast.subscribe("things") as listening, asyncio.timeout(5):
            assert await anext(listening) is LOST
            await broadcast.publish("things", b"1")
            assert await anext(listening) == b"1"
        await broadcast.close()
