"""Where a request comes from: the peer of its connection, or what a proxy of ours says of it.

Forwarded headers are bytes of the client, so they are believed from nobody but the networks in `[gateway] proxies`; and of
what those say, only what they have added. One header is declared, X-Forwarded-For or Forwarded (RFC 7239), and the other is
not looked at: a proxy that writes the one lets the client's other through. It is read from its end, and the first address
that is not a proxy's is the client's. Whatever is no IP address ("unknown", "_hidden") ends the reading.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from multidict import CIMultiDictProxy, istr

_KNOWN: Final = 10_000
"""Addresses whose reading is remembered."""
_HOPS: Final = 32
"""Proxies, one behind the other, that are looked at."""

# RFC 7239, section 4. A comma may be within a quoted string, and the client's part need not be well-formed: so the elements
# are taken from the end, each the shortest piece after a comma that is one.
_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED: Final = r'"(?:[\t !#-\[\]-~]|\\[\t !-~])*"'
_PAIR: Final = rf"{_WORD}=(?:{_WORD}|{_QUOTED})"
_ELEMENT: Final = re.compile(rf"[ \t]*{_PAIR}(?:[ \t]*;[ \t]*(?:{_PAIR})?)*[ \t]*")
_PAIRS: Final = re.compile(rf"({_WORD})=({_WORD}|{_QUOTED})")
_LONGEST: Final = 500
"""Bytes of an element."""


class Addresses:
    """Finds the client's address behind `proxies`, networks such as "10.0.0.0/8", by what they write into `header`."""

    def __init__(self, proxies: Sequence[str], header: str = "X-Forwarded-For") -> None:
        networks = [ip_network(each) for each in proxies]

        @lru_cache(_KNOWN)
        def read(text: str) -> tuple[str, bool] | None:
            address = _address(text)
            return None if address is None else (str(address), any(address in network for network in networks))

        self._read = read if networks else None
        self._header = istr(header)
        self._said = _elements if header.lower() == "forwarded" else _listed
        self.believes = bool(networks)
        """Whether anybody is believed: otherwise every client is the peer of its connection."""

    def of(self, peer: str, headers: CIMultiDictProxy[str]) -> str:
        """The client's IP address, as far as it is known for sure; "" when the connection has none."""
        read = self._read
        # aiohttp gives what it could not read as a request no headers at all, in a plain dict.
        if read is None or not headers or (found := read(peer)) is None or not found[1]:
            return peer
        client = peer
        for text in self._said(",".join(headers.getall(self._header, ()))):
            found = read(text)
            if found is None:
                break
            client, proxy = found
            if not proxy:
                break
        return client


def _listed(value: str) -> Iterator[str]:
    """The addresses of X-Forwarded-For, the last one first."""
    for text in value.rsplit(",", _HOPS)[: -_HOPS - 1 : -1]:
        yield text.strip()


def _elements(value: str) -> Iterator[str]:
    """What is after "for=" in the elements of Forwarded, the last one first; "" where nothing is, and the end."""
    for _ in range(_HOPS):
        at, least = len(value), max(0, len(value) - _LONGEST)
        while True:
            at = value.rfind(",", least, at)
            if (at >= 0 or not least) and _ELEMENT.fullmatch(value, at + 1):
                break
            if at < 0:
                return  # not well-formed, or too long: nobody knows who wrote what
        given = [node for name, node in _PAIRS.findall(value, at + 1) if name.lower() == "for"]
        node: str = given[0] if len(given) == 1 else ""
        yield re.sub(r"\\(.)", r"\1", node[1:-1]) if node.startswith('"') else node
        if at < 0:
            return
        value = value[:at]


@lru_cache(_KNOWN)
def network(address: str) -> str:
    """What counts as one address for limits: of IPv6 the /64, since whoever has one address there has all of them
    (RFC 4291, section 2.5.4)."""
    if ":" not in address:
        return address
    found = _address(address)
    if not isinstance(found, IPv6Address):
        return address if found is None else str(found)
    return str(ip_network((int(found) >> 64 << 64, 64)))


def wider(counted: str) -> str:
    """With whom what counts as one address shares a limit when there are more of them than can be counted one by one: its
    /24, and then the /16; of IPv6 the /48, which a site gets (RFC 6177), and then the /32, which a provider gets. "" of what
    is wider already, and of no address."""
    text, _, length = counted.partition("/")
    if ":" in text:
        prefix = {"64": 48, "48": 32}.get(length)
        if prefix is None:
            return ""
        return str(IPv6Network((int(IPv6Address(text)) >> 128 - prefix << 128 - prefix, prefix)))
    parts = text.split(".")
    if len(parts) != 4 or length not in ("", "24"):
        return ""
    return f"{parts[0]}.{parts[1]}.0.0/16" if length else f"{parts[0]}.{parts[1]}.{parts[2]}.0/24"


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """An address, with a port or without; one of IPv4 written as IPv6 is the former."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found
