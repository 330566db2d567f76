"""TLS between two contexts in memory: what they agree on, without a socket."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Agreed:
    """Both ends of a connection."""

    server: ssl.SSLObject
    client: ssl.SSLObject

    @property
    def name(self) -> str:
        """The first name in the certificate that the server showed."""
        certificate = self.client.getpeercert()
        assert certificate is not None
        return str(certificate["subjectAltName"][0][1])


def handshake(
    server: ssl.SSLContext,
    client: ssl.SSLContext,
    name: str | None = None,
    session: ssl.SSLSession | None = None,
) -> Agreed:
    """A connection, tickets delivered.

    Raises:
        ssl.SSLError: one of them refuses; the client's error, where both have one.
    """
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = server.wrap_bio(to_server, to_client, server_side=True)
    other = client.wrap_bio(to_client, to_server, server_hostname=name, session=session)
    done: set[ssl.SSLObject] = set()
    failed: ssl.SSLError | None = None
    for _ in range(10):
        for end in (other, one):
            if end in done:
                continue
            try:
                end.do_handshake()
                done.add(end)
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError as error:
                failed = failed if end is one and failed is not None else error
                done.add(end)
        if len(done) == 2:
            break
    if failed is not None:
        raise failed
    one.write(b"here")  # TLS 1.3: tickets come with the first bytes, and so does a refusal of the client's certificate
    assert other.read() == b"here"
    return Agreed(one, other)


def believer(authority: bytes | Path, *, check_name: bool = False) -> ssl.SSLContext:
    """A client that believes in one authority alone, and need not check names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = check_name
    pem = authority if isinstance(authority, bytes) else authority.read_bytes()
    context.load_verify_locations(cadata=pem.decode())
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context
