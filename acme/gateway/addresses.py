"""Where a request comes from: the peer of its connection, or what a proxy of ours says of it.

Forwarded headers are bytes of the client, so they are believed from nobody but the networks in `[gateway] proxies`; and of
what those say, only what they have added: X-Forwarded-For is read from its end, and the first address that is not a proxy's
is the client's. Whatever is no IP address ends the reading.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from multidict import CIMultiDictProxy, istr

_FORWARDED_FOR: Final = istr("X-Forwarded-For")
_KNOWN: Final = 10_000
"""Addresses whose reading is remembered."""


class Addresses:
    """Finds the client's address behind `proxies`, networks such as "10.0.0.0/8"."""

    def __init__(self, proxies: Sequence[str]) -> None:
        networks = [ip_network(each) for each in proxies]

        @lru_cache(_KNOWN)
        def read(text: str) -> tuple[str, bool] | None:
            address = _address(text)
            return None if address is None else (str(address), any(address in network for network in networks))

        self._read = read if networks else None
        self.believes = bool(networks)
        """Whether anybody is believed: otherwise every client is the peer of its connection."""

    def of(self, peer: str, headers: CIMultiDictProxy[str]) -> str:
        """The client's IP address, as far as it is known for sure; "" when the connection has none."""
        read = self._read
        # aiohttp gives what it could not read as a request no headers at all, in a plain dict.
        if read is None or not headers or (found := read(peer)) is None or not found[1]:
            return peer
        client = peer
        for text in reversed(",".join(headers.getall(_FORWARDED_FOR, ())).split(",")):
            found = read(text.strip())
            if found is None:
                break
            client, proxy = found
            if not proxy:
                break
        return client


@lru_cache(_KNOWN)
def network(address: str) -> str:
    """What counts as one address for limits: of IPv6 the /64, since whoever has one address there has all of them
    (RFC 4291, section 2.5.4)."""
    if ":" not in address:
        return address
    found = _address(address)
    if not isinstance(found, IPv6Address):
        return address
    return str(ip_network((int(found) >> 64 << 64, 64)))


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
