"""Client certificates → service accounts: whoever connects with one that is declared needs no access token.

The handshake has shown that an authority of `[gateway.tls]` signed the certificate, and that the client has its key. Which
service account it stands for is declared, by a name in it (`[gateway.tls.identities]`); a certificate that no declaration
names opens the door of its listener, and proves nothing more. An access token that a request bears goes before it.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import Mapping
from typing import Final
from weakref import WeakValueDictionary

from acme.errors import Unauthenticated
from acme.gateway.tls_settings import IdentitySettings
from acme.telemetry import logger
from acme.tokens.assertions import LIFE, Assertions

log: Final = logger(__name__)


class Client:
    """A certificate, and whom it stands for: nobody, perhaps."""

    __slots__ = ("__weakref__", "_assertions", "_ends", "_identity", "_renew_at", "_session", "_token", "names")

    def __init__(self, assertions: Assertions, names: tuple[str, ...], session: str, ends: float) -> None:
        """`ends`: when the certificate expires, in seconds since the Unix epoch."""
        self.names = names
        self._assertions, self._session, self._ends = assertions, session, ends
        self._identity: IdentitySettings | None = None
        self._token, self._renew_at = "", 0.0

    def stand_for(self, identity: IdentitySettings | None) -> None:
        """It stands for this one from now on; None: for nobody."""
        if identity != self._identity:
            self._identity, self._renew_at = identity, 0.0

    def token(self, now: float) -> str:
        """Proves to every process of ours what the certificate proved to this one; "" where it stands for nobody. `now`
        is the platform's time, in seconds since the Unix epoch.

        Raises:
            Unauthenticated: the certificate has expired since the handshake, or since the session that was resumed.
        """
        if now >= self._renew_at:
            self._token = ""
            if self._identity is None:
                return ""
            if now >= self._ends:
                raise Unauthenticated("The client certificate has expired.", reason="certificate_expired")
            ends = min(now + LIFE, self._ends)
            self._token = self._assertions.make(self._identity.principal, self._session, self._identity.scopes, ends)
            self._renew_at = min(now + LIFE / 2, self._ends)
        return self._token


class Clients:
    """The certificates of those who are connected."""

    def __init__(self, identities: Mapping[str, IdentitySettings], assertions: Assertions) -> None:
        self._identities, self._assertions = identities, assertions
        self._known: WeakValueDictionary[bytes, Client] = WeakValueDictionary()

    def configure(self, identities: Mapping[str, IdentitySettings]) -> None:
        """Other declarations from now on, for connections that stand as well."""
        self._identities = identities
        for client in list(self._known.values()):
            client.stand_for(self._declared(client.names))

    def of(self, transport: asyncio.BaseTransport) -> Client | None:
        """The certificate of a connection; None without one."""
        handshake: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        if handshake is None or (raw := handshake.getpeercert(binary_form=True)) is None:
            return None
        digest = hashlib.sha256(raw).digest()
        client = self._known.get(digest)
        if client is None:
            told = handshake.getpeercert() or {}
            names = tuple(f"{name[0]}:{name[1]}" for name in told.get("subjectAltName", ()))
            ends = ssl.cert_time_to_seconds(str(told["notAfter"]))
            client = self._known[digest] = Client(self._assertions, names, f"crt_{digest.hex()[:26]}", ends)
            client.stand_for(self._declared(names))
        return client

    def _declared(self, names: tuple[str, ...]) -> IdentitySettings | None:
        found = {self._identities[name] for name in names if name in self._identities}
        if len(found) > 1:
            log.warning("a client certificate stands for several, and so for nobody", names=names[:10])
        return found.pop() if len(found) == 1 else None
