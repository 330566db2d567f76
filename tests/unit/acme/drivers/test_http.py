"""Documents over HTTP: what counts as one, and what its server cannot do to us."""

from __future__ import annotations

import asyncio
import gzip
import os
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from acme import drivers
from acme.errors import Unavailable
from acme.ports import Fetcher
from tests.certificates import Authority
from tests.issuer import KEYS, Issuer, Page, issuing


@pytest.fixture
def server() -> Iterator[Issuer]:
    with issuing() as one:
        yield one


@pytest.fixture
async def fetcher() -> AsyncIterator[Fetcher]:
    one = drivers.open_fetcher()
    yield one
    await one.close()


async def test_a_document_comes_as_it_is(server: Issuer, fetcher: Fetcher) -> None:
    assert await fetcher.fetch(server.url + KEYS, timeout=5, most=10_000) == server.pages[KEYS].body


async def test_as_many_bytes_as_expected_may_come_and_not_one_more(server: Issuer, fetcher: Fetcher) -> None:
    server.pages["/long"] = Page(b"x" * 100_000)
    assert len(await fetcher.fetch(server.url + "/long", timeout=5, most=100_000)) == 100_000
    with pytest.raises(Unavailable, match="longer than 99999 bytes"):
        await fetcher.fetch(server.url + "/long", timeout=5, most=99_999)


@pytest.mark.parametrize("status", [201, 204, 301, 302, 307, 308, 401, 404, 500, 503])
async def test_nothing_but_200_is_a_document(server: Issuer, fetcher: Fetcher, status: int) -> None:
    body = b"" if status == 204 else b"{}"
    server.pages["/there"] = Page(body, status, {"Location": server.url + KEYS})
    with pytest.raises(Unavailable, match=f"answered with {status}"):
        await fetcher.fetch(server.url + "/there", timeout=5, most=1000)
    assert server.asked == ["/there"], "no redirect is followed"


async def test_nothing_is_unpacked(server: Issuer, fetcher: Fetcher) -> None:
    server.pages["/bomb"] = Page(gzip.compress(b"0" * 10_000_000), headers={"Content-Encoding": "gzip"})
    with pytest.raises(Unavailable, match="packed"):
        await fetcher.fetch(server.url + "/bomb", timeout=5, most=100_000)


async def test_a_server_that_takes_its_time_is_not_waited_for(server: Issuer, fetcher: Fetcher) -> None:
    server.open.clear()
    with pytest.raises(Unavailable, match=r"no answer within 0\.2 s"):
        await fetcher.fetch(server.url + KEYS, timeout=0.2, most=1000)


async def test_a_server_that_is_not_there_is_told(fetcher: Fetcher) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}/"
    with pytest.raises(Unavailable) as caught:
        await fetcher.fetch(url, timeout=5, most=1000)
    assert caught.value.reason == "fetch_failed"


async def test_what_is_no_http_is_told(fetcher: Fetcher, server: Issuer) -> None:
    server.pages["/short"] = Page(b"{}", headers={"Content-Length": "100", "Connection": "close"})
    with pytest.raises(Unavailable):
        await fetcher.fetch(server.url + "/short", timeout=2, most=1000)


FETCH = """
import asyncio, sys
from acme import drivers
async def main():
    fetcher = drivers.open_fetcher()
    try:
        print((await fetcher.fetch(sys.argv[1], timeout=20, most=1000)).decode())
    finally:
        await fetcher.close()
asyncio.run(main())
"""


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[tuple[str, Authority]]:
    """A document at https://localhost:…, and the authority that vouches for its server."""
    authority = Authority()
    files = authority.issue(tmp_path, "localhost")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files["certificate"], files["key"])
    with issuing() as one:
        one.pages["/here"] = Page(b"a document")
        one.secure(context)
        yield f"https://localhost:{one.host.rpartition(':')[2]}/here", authority


async def fetched(url: str, authority: Path) -> tuple[int, str]:
    """Exit status and output of a process that trusts this authority and fetches."""
    environ = {**os.environ, "SSL_CERT_FILE": str(authority)}
    asked = await asyncio.create_subprocess_exec(
        sys.executable, "-c", FETCH, url, env=environ, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await asked.communicate()
    assert asked.returncode is not None
    return asked.returncode, said.decode()


async def test_a_document_comes_over_tls_from_whom_the_machine_trusts(
    secured: tuple[str, Authority], tmp_path: Path
) -> None:
    url, authority = secured
    (trusted := tmp_path / "trusted.pem").write_bytes(authority.pem)
    assert await fetched(url, trusted) == (0, "a document\n")


async def test_a_server_with_another_name_or_another_authority_is_not_believed(
    secured: tuple[str, Authority], tmp_path: Path
) -> None:
    url, authority = secured
    (trusted := tmp_path / "trusted.pem").write_bytes(authority.pem)
    status, said = await fetched(url.replace("localhost", "127.0.0.1"), trusted)
    assert (status, "ClientConnectorCertificateError" in said) == (1, True)
    trusted.write_bytes(Authority("Others").pem)
    status, said = await fetched(url, trusted)
    assert (status, "ClientConnectorCertificateError" in said) == (1, True)


async def test_a_certificate_that_nobody_vouches_for_is_not_believed(fetcher: Fetcher, server: Issuer) -> None:
    with pytest.raises(Unavailable):
        await fetcher.fetch(server.url.replace("http://", "https://"), timeout=5, most=1000)
