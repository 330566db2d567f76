"""A platform over HTTPS, with certificates of an authority of the test's own."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.certificates import Authority
from tests.handshakes import believer
from tests.redis_server import free_port
from tests.system.running import PASSWORD, Platform, Reply, call


@dataclass
class Secured:
    """A platform with certificates of an authority of the test's own."""

    folder: Path
    one: Platform
    authority: Authority = field(default_factory=Authority)
    plain: int = field(default_factory=free_port)
    machines: int = field(default_factory=free_port)

    def issue(self, name: str) -> dict[str, Path]:
        return self.authority.issue(self.folder / name, name)

    def settle(self, *more: str) -> None:
        """Writes certificates and settings."""
        names = ("localhost", "other.example")
        for name in names:
            self.issue(name)
        pair = '{{ certificate = "{0}/certificate.pem", key = "{0}/key.pem" }}'
        pairs = ", ".join(pair.format(self.folder / name) for name in names)
        lines = (
            "[gateway.listeners]",
            f'plain = {{ port = {self.plain}, serves = "redirect" }}',
            f'machines = {{ port = {self.machines}, client = "required" }}',
            "[gateway.tls]",
            f"certificates = [{pairs}]",
            f'authority = "{self.folder}/localhost/authority.pem"',
            *more,
        )
        self.one.folder.mkdir(parents=True, exist_ok=True)
        (self.one.folder / "acme.toml").write_text("\n".join(lines))

    @property
    def port(self) -> int:
        return urlsplit(self.one.api).port or 0

    @property
    def api(self) -> str:
        return f"https://localhost:{self.port}"

    def client(self, name: str = "") -> ssl.SSLContext:
        """Somebody who believes in the authority, and has a certificate for this name."""
        context = believer(self.authority.pem, check_name=True)
        if name:
            mine = self.issue(name)
            context.load_cert_chain(mine["certificate"], mine["key"])
        return context

    def ask(self, verb: str, path: str, body: object = None, **options: Any) -> Reply:
        return call(self.api, verb, path, body, **{"context": self.client(), **options})

    def shown(self, name: str) -> bytes:
        """The certificate of a new handshake, for a client that asks for this name."""
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=10) as raw,
            believer(self.authority.pem).wrap_socket(raw, server_hostname=name) as secure,
        ):
            return secure.getpeercert(binary_form=True) or b""

    def token(self, email: str) -> str:
        """Of somebody who signs up."""
        account = {"email": email, "password": PASSWORD, "display_name": "Ada"}
        assert self.ask("POST", "/v1/users", account).status == 202
        reply = self.ask("POST", "/v1/sessions", {"email": email, "password": PASSWORD})
        assert reply.status == 201, reply.body
        return str(reply.json["access_token"])
