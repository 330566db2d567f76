"""`[gateway.tls]` and `[gateway.listeners.NAME]`: certificates, who has to show one, and where else the gateway listens."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

Client = Literal["none", "optional", "required"]
"""Whether who connects is asked for a certificate of its own, and whether there is a way without."""

_NAME: Final = re.compile(r"(DNS|URI|email):[\x21-\x7e]+")


class CertificateSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of `certificates`."""

    certificate: str
    """PEM file: the certificate, and those of the authorities between it and one that clients know."""
    key: str
    """PEM file: its private key, without a password."""


class IdentitySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[gateway.tls.identities]`: whom a client certificate stands for."""

    principal: Annotated[str, Meta(pattern="^sva_[0-9a-z]{26}$")]
    """A service account. What it may do is what its role says, as with an access token; deleted, it may nothing."""
    scopes: Annotated[tuple[str, ...], Meta(min_length=1)] = ("read",)
    """What of that the certificate is good for: permissions, "read" for all that only reads, "*" for everything."""


class TlsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[gateway.tls]`: with certificates, the gateway speaks HTTPS. Files are read again when they change."""

    certificates: tuple[CertificateSettings, ...] = ()
    """The first that bears the name a client asks for is shown; to who asks for no name, or another, the first of all."""
    local: bool = False
    """A certificate of an authority of this machine's own, made in DATA/tls at the first start, for localhost and the
    machine's name. Not for the world: nobody else believes it."""
    minimum: Literal["1.2", "1.3"] = "1.2"
    """The oldest TLS that is spoken."""
    hsts: Annotated[int, Meta(ge=0, le=2 * 31_536_000)] = 31_536_000
    """Seconds for which browsers that were here come back over HTTPS only (RFC 6797); 0: nothing is said. With `local`,
    nothing is said in any case, or no other server on localhost could be reached."""
    handshake: Annotated[float, Meta(gt=0, le=60)] = 10.0
    """Seconds for a handshake; then the connection is cut."""
    client: Client = "none"
    """Whether clients show certificates, at the address in [gateway]. "optional": those who have one. "required": nobody
    else is let in."""
    authority: str = ""
    """PEM file: the authorities whose signature makes a client's certificate worth anything."""
    identities: dict[str, IdentitySettings] = msgspec.field(default_factory=dict)
    """Name in a client's certificate → whom it stands for when it sends no access token. Names as "DNS:name",
    "URI:spiffe://…" or "email:…", compared whole; the common name counts for nothing."""

    def __post_init__(self) -> None:
        if self.client != "none" and not self.authority:
            raise ValueError(f'client = "{self.client}" needs an authority: whose certificates are believed?')
        if self.client != "none" and not self.on:
            raise ValueError(f'client = "{self.client}" needs certificates of our own: it is TLS that asks for theirs')
        if self.identities and not self.authority:
            raise ValueError("identities need an authority: without one, no certificate proves anything")
        for name in self.identities:
            if _NAME.fullmatch(name) is None:
                raise ValueError(f'identities: {name!r} is no name: "DNS:…", "URI:…" or "email:…" is expected')
        if self.local and self.certificates:
            raise ValueError("local = true makes a certificate: leave certificates out, or local")

    @property
    def on(self) -> bool:
        """Whether there is anything to show."""
        return self.local or bool(self.certificates)


class ListenerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[gateway.listeners.NAME]`: one more address, beside `host` and `port` in `[gateway]`."""

    port: Annotated[int, Meta(ge=0, le=65535)]
    """Port; unlike the first one's, another is not tried when it is busy. 0: any free one."""
    host: str = ""
    """Address to listen on; empty: as in [gateway]."""
    serves: Literal["api", "redirect"] = "api"
    """"redirect": plain HTTP that says where the API is, and nothing else: 308 to https, for the names in our
    certificates."""
    tls: bool = True
    """Whether it speaks HTTPS; a redirect never does."""
    client: Client = "none"
    """As in [gateway.tls]."""

    @property
    def secure(self) -> bool:
        """Whether it speaks HTTPS."""
        return self.tls and self.serves == "api"


def check(tls: TlsSettings, listeners: dict[str, ListenerSettings]) -> None:
    """Raises ValueError for listeners that need what `[gateway.tls]` does not have."""
    for name, listener in listeners.items():
        if (listener.secure or listener.serves == "redirect") and not tls.on:
            raise ValueError(f"listeners.{name}: needs certificates in [gateway.tls], or tls = false")
        if listener.client != "none" and not listener.secure:
            raise ValueError(f"listeners.{name}: client certificates need tls")
        if listener.client != "none" and not tls.authority:
            raise ValueError(f'listeners.{name}: client = "{listener.client}" needs an authority in [gateway.tls]')
