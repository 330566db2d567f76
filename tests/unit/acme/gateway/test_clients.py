"""Client certificates: whom they stand for, and what becomes of that."""

from __future__ import annotations

import asyncio
import gc
import ssl
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from cryptography import x509

from acme.drivers.vault import Vault
from acme.errors import Unauthenticated
from acme.gateway.clients import Client, Clients
from acme.gateway.tls_settings import IdentitySettings
from acme.tokens.assertions import LIFE, Assertions
from tests.certificates import DAY, Authority
from tests.handshakes import believer, handshake

FIRST, SECOND = (IdentitySettings(f"sva_{letter * 26}") for letter in "ab")
NOW = 1_000.0


class Transport(asyncio.BaseTransport):
    """A connection over TLS, as far as anybody asks it."""

    def __init__(self, handshake: ssl.SSLObject | None) -> None:
        self._handshake = handshake

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._handshake if name == "ssl_object" else default


class Town:
    """Clients with certificates of one authority."""

    def __init__(self, folder: Path, identities: dict[str, IdentitySettings]) -> None:
        self.folder, self.authority, self.now = folder, Authority(), NOW
        self.assertions = Assertions(Vault(bytes(32)), lambda: self.now)
        self.clients = Clients(identities, self.assertions)
        own = self.authority.issue(folder / "server", "localhost")
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server.load_cert_chain(own["certificate"], own["key"])
        self.server.load_verify_locations(own["authority"])
        self.server.verify_mode = ssl.CERT_OPTIONAL

    def context(self, *names: str, ends: timedelta = DAY, more: tuple[x509.GeneralName, ...] = ()) -> ssl.SSLContext:
        """A client with a certificate for these names."""
        paths = self.authority.issue(self.folder / "client", *names, ends=ends, more=more)
        context = believer(self.authority.pem)
        context.load_cert_chain(paths["certificate"], paths["key"])
        return context

    def connect(self, context: ssl.SSLContext) -> Client | None:
        return self.clients.of(Transport(handshake(self.server, context).server))

    def subject(self, client: Client | None, now: float = NOW) -> str:
        """Whom it stands for, "" for nobody."""
        assert client is not None
        token = client.token(now)
        return self.assertions.read(token).subject if token else ""


def test_a_name_in_the_certificate_says_whom_it_stands_for(tmp_path: Path) -> None:
    identities = {"DNS:a.example": FIRST, "URI:spiffe://acme/b": SECOND, "email:c@acme.example": SECOND}
    town = Town(tmp_path, identities)
    assert town.subject(town.connect(town.context("a.example"))) == FIRST.principal
    spiffe = x509.UniformResourceIdentifier("spiffe://acme/b")
    assert town.subject(town.connect(town.context("other.example", more=(spiffe,)))) == SECOND.principal
    assert town.subject(town.connect(town.context(more=(x509.RFC822Name("c@acme.example"),)))) == SECOND.principal


@pytest.mark.parametrize("name", ["b.example", "sub.a.example", "a.example.evil.example", "*.example"])
def test_a_name_that_is_not_declared_stands_for_nobody(tmp_path: Path, name: str) -> None:
    town = Town(tmp_path, {"DNS:a.example": FIRST})
    assert town.subject(town.connect(town.context(name))) == ""


def test_a_name_of_one_kind_is_none_of_another(tmp_path: Path) -> None:
    town = Town(tmp_path, {"DNS:a.example": FIRST})
    assert town.subject(town.connect(town.context(more=(x509.UniformResourceIdentifier("a.example"),)))) == ""


def test_a_certificate_that_stands_for_two_stands_for_nobody(tmp_path: Path) -> None:
    town = Town(tmp_path, {"DNS:a.example": FIRST, "DNS:b.example": SECOND})
    with structlog.testing.capture_logs() as told:
        assert town.subject(town.connect(town.context("a.example", "b.example"))) == ""
    assert [line["event"] for line in told] == ["a client certificate stands for several, and so for nobody"]


def test_who_shows_no_certificate_is_no_client(tmp_path: Path) -> None:
    town = Town(tmp_path, {"DNS:a.example": FIRST})
    assert town.connect(believer(town.authority.pem)) is None
    assert town.clients.of(Transport(None)) is None


def test_connections_with_one_certificate_share_what_is_known_of_it_as_long_as_there_are_any(tmp_path: Path) -> None:
    town = Town(tmp_path, {"DNS:a.example": FIRST})
    context = town.context("a.example")
    one, other = town.connect(context), town.connect(context)
    assert one is other
    del one, other
    gc.collect()
    assert len(town.clients._known) == 0


def test_a_token_is_made_anew_before_its_end(tmp_path: Path) -> None:
    town = Town(tmp_path, {"DNS:a.example": FIRST})
    client = town.connect(town.context("a.example"))
    assert client is not None
    first = client.token(NOW)
    assert client.token(NOW + LIFE / 2 - 1) == first
    later = client.token(NOW + LIFE / 2)
    assert later != first
    assert town.assertions.read(later).ends == NOW + LIFE / 2 + LIFE


def test_a_token_ends_with_its_certificate(tmp_path: Path) -> None:
    town = Town(tmp_path, {"DNS:a.example": FIRST})
    client = town.connect(town.context("a.example"))
    assert client is not None
    ends = client._ends
    token = client.token(ends - 1)
    assert town.assertions.read(token).ends == ends
    with pytest.raises(Unauthenticated) as refused:
        client.token(ends)
    assert refused.value.reason == "certificate_expired"


def test_other_declarations_count_on_connections_that_stand(tmp_path: Path) -> None:
    town = Town(tmp_path, {"DNS:a.example": FIRST})
    client = town.connect(town.context("a.example"))
    assert town.subject(client) == FIRST.principal
    town.clients.configure({"DNS:a.example": SECOND})
    assert town.subject(client) == SECOND.principal
    town.clients.configure({})
    assert town.subject(client) == ""
