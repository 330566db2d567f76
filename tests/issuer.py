"""An issuer of tokens beside the platform: a real HTTP server that publishes what a test wants, and signs what it likes."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey

METADATA = "/.well-known/openid-configuration"
KEYS = "/keys"
ORGANIZATION = "org_01h455vb4pex5vsknk084sn02q"
"""Where its holders belong, as `settings` declare it."""

PrivateKey = ECKey | OKPKey | RSAKey


@dataclass(frozen=True)
class Page:
    """What is answered at a path."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


class Issuer:
    """Keys by kid, and the pages that are served. `asked` are the paths that were asked for; `open` lets answers go."""

    def __init__(self) -> None:
        self.private: dict[str, PrivateKey] = {}
        self.pages: dict[str, Page] = {}
        self.asked: list[str] = []
        self.open = threading.Event()
        self.open.set()
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked.append(self.path)
                issuer.open.wait(30)
                page = issuer.pages.get(self.path, Page(b"nothing here", 404))
                self.send_response(page.status)
                for name, value in {"Content-Length": str(len(page.body)), **page.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(page.body)

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"http://{self.host}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.pages[METADATA] = Page(json.dumps({"issuer": self.url, "jwks_uri": self.url + KEYS}).encode())
        self.publish("k1")

    def secure(self, context: ssl.SSLContext) -> None:
        """Speaks TLS from now on."""
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    def publish(self, kid: str, key: PrivateKey | None = None, **members: Any) -> None:
        """Shows a key; `members` stand in its JWK as well."""
        self.private[kid] = key or ECKey.generate_key("P-256", private=True)
        shown = json.loads(self.pages[KEYS].body)["keys"] if KEYS in self.pages else []
        entry = {**self.private[kid].as_dict(private=False), "kid": kid, **members}
        self.show(*[each for each in shown if each["kid"] != kid], entry)

    def withdraw(self, kid: str) -> None:
        """Shows it no more."""
        self.show(*[each for each in json.loads(self.pages[KEYS].body)["keys"] if each["kid"] != kid])

    def show(self, *entries: Any) -> None:
        """Shows these keys."""
        self.pages[KEYS] = Page(json.dumps({"keys": entries}).encode())

    def token(self, kid: str = "k1", *, header: Mapping[str, Any] | None = None, **changed: Any) -> str:
        """A good token, but for what is changed; `None` leaves a claim out."""
        return self.sign(json.dumps(self.claims(**changed)), kid, **(header or {}))

    def claims(self, **changed: Any) -> dict[str, Any]:
        """Those of a good token."""
        now = int(changed.pop("now", time.time()))
        good = {"iss": self.url, "aud": "acme-api", "sub": "ada", "iat": now, "exp": now + 600, "scope": "work"}
        return {name: value for name, value in {**good, **changed}.items() if value is not None}

    def sign(self, payload: str | bytes, kid: str = "k1", /, **header: Any) -> str:
        """Any payload, signed with a key of ours."""
        return signed(payload, self.private[kid], **{"kid": kid} | header)

    def settings(self, **changed: Any) -> dict[str, Any]:
        """`[tokens.issuers.NAME]`, as a table."""
        principal = {
            "organization": ORGANIZATION,
            "role": "viewer",
            "role_claim": "roles",
            "roles": {"chief": "admin", "staff": "member"},
            "scopes": {"work": ["*"]},
        }
        return {
            "issuer": self.url,
            "audience": ["acme-api"],
            "algorithms": ["ES256"],
            "principal": principal,
            **changed,
        }

    def stop(self) -> None:
        """Answers nothing any more."""
        self.open.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def signed(payload: str | bytes, key: PrivateKey, alg: str = "ES256", **header: Any) -> str:
    """Any payload under any header, signed; a member that is `None` is left out."""
    said = {"alg": alg, "typ": "at+jwt", **header}
    registry = jws.JWSRegistry(algorithms=[alg], strict_check_header=False)
    return jws.serialize_compact({k: v for k, v in said.items() if v is not None}, payload, key, registry=registry)


@contextmanager
def issuing() -> Iterator[Issuer]:
    """An issuer for the time of the block."""
    one = Issuer()
    try:
        yield one
    finally:
        one.stop()
