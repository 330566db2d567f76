"""Where a service of another process is.

grpc://projects:50051           plain TCP; the name is looked up again while it is in use, and may have many addresses
grpcs://projects:50051          the same inside TLS, both ends with certificates; the name has to be in the peer's
grpc+unix:///run/acme/p.sock    one machine; whoever may enter the socket's folder may call
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import quote, unquote, urlsplit

_FORMS: Final = "grpc://host:port, grpcs://host:port or grpc+unix:///path"
_LONGEST: Final = 100
"""Bytes of a socket's path; the kernel's limit is a little above it."""


@dataclass(frozen=True, slots=True)
class Address:
    """One address, read."""

    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""
    """Of a socket, percent-encoded in text only; "" for TCP."""

    @property
    def tls(self) -> bool:
        """Whether it is inside TLS."""
        return self.scheme == "grpcs"

    def at(self, host: str, port: int) -> Address:
        """The same with another host and port."""
        return replace(self, host=host, port=port)

    def __str__(self) -> str:
        if self.path:
            return f"{self.scheme}://{quote(self.path)}"
        return (
            f"{self.scheme}://[{self.host}]:{self.port}"
            if ":" in self.host
            else f"{self.scheme}://{self.host}:{self.port}"
        )


def parse_one(text: str) -> Address:
    """Reads one address.

    Raises:
        ValueError: it is none; the text says what one looks like.
    """
    parts = urlsplit(text.strip())
    try:
        port = parts.port
    except ValueError:
        port = None
    strays = parts.query or parts.fragment or parts.username is not None
    if parts.scheme == "grpc+unix" and not parts.netloc and parts.path.startswith("/") and not strays:
        path = unquote(parts.path)
        if len(path.encode()) > _LONGEST:
            raise ValueError(f"{text}: the path of a socket has at most {_LONGEST} bytes")
        return Address(parts.scheme, path=path)
    if (
        parts.scheme in ("grpc", "grpcs")
        and parts.hostname
        and port is not None
        and parts.path in ("", "/")
        and not strays
    ):
        return Address(parts.scheme, parts.hostname, port)
    raise ValueError(f"{text!r} is no address: write {_FORMS}")


def parse(text: str) -> tuple[Address, ...]:
    """Reads one address or several, separated by commas.

    Raises:
        ValueError: one is none, or there is none.
    """
    return tuple(dict.fromkeys(parse_one(one) for one in text.split(",")))
