"""What holds for the requests of a method: its contract, and `[gateway.routes]` where that says otherwise.

A `Policy` is made when the gateway starts and when its settings change, never for a request. A request that is under way
keeps what it has been given.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from acme.contract import Cache, Method, Service
from acme.gateway.limits import Gate, Limits
from acme.gateway.server import JSON, kept
from acme.gateway.settings import MOST_BODY, GatewaySettings


@dataclass(frozen=True, slots=True)
class Policy:
    """Of one method."""

    gate: Gate
    """Its limits."""
    cost: int
    """How many requests it counts as for them."""
    timeout: float
    """Seconds for a request whose client asks for no other time."""
    most: float
    """Seconds that a client may ask for at most."""
    max_body: int
    """Bytes of a request body at most."""
    kind: str
    """Of answers in JSON, and of all others: content type and what is said of keeping them; see `server.head_until_id`."""
    bare: str


def declared(method: Method, settings: GatewaySettings) -> Method:
    """The method as it is served: what `[gateway.routes]` says of it stands in the place of what its contract says."""
    own = settings.routes.get(method.path[1:])
    if own is None:
        return method
    cache = method.cache
    if own.cache is not None:
        cache = Cache(own.cache, cache is not None and cache.shared) if own.cache else None
    return replace(
        method,
        timeout=own.timeout or method.timeout,
        cost=own.cost or method.cost,
        rate_class=own.rate_class or method.rate_class,
        cache=cache,
    )


def policy(method: Method, settings: GatewaySettings, limits: Limits) -> Policy:
    """What holds for a method."""
    own, said = settings.routes.get(method.path[1:]), declared(method, settings)
    if method.client_streaming or method.server_streaming:
        seconds = most = said.timeout or settings.transfer_timeout
    else:
        seconds = said.timeout or settings.timeout
        most = max(settings.max_timeout, said.timeout or 0.0)
    size = settings.max_upload if method.client_streaming else settings.max_body
    bare = _keeping(said)
    return Policy(
        gate=limits.gate(said.rate_class, said.cost),
        cost=said.cost,
        timeout=seconds,
        most=most,
        max_body=(own.max_body if own is not None else None) or size,
        kind=kept(JSON, *bare) if bare else JSON,
        bare=kept("", *bare) if bare else "",
    )


def check(services: Iterable[Service], settings: GatewaySettings) -> None:
    """Raises ValueError, with a line a fault, where `[gateway.routes]` says what cannot be of these services."""
    methods = {method.path[1:]: method for service in services for method in service.methods if method.routes}
    faults = []
    for name, own in settings.routes.items():
        method = methods.get(name)
        if method is None:
            faults.append(f"routes.{name}: there is no such method with a route")
            continue
        if own.cache and (method.secret_reply or any(route.verb != "GET" for route in method.routes)):
            faults.append(f"routes.{name}.cache: only the answer to a GET is kept, and none that holds a secret")
        if own.max_body is not None and own.max_body > MOST_BODY and not method.client_streaming:
            faults.append(f"routes.{name}.max_body: at most {MOST_BODY}, since the body is held in memory")
    if faults:
        raise ValueError("\n".join(faults))


_ASKED_AGAIN: Final = "if-none-match"


def _keeping(method: Method) -> tuple[str, str] | None:
    """Cache-Control of answers that may be kept, and the request headers that answers differ by."""
    if method.cache is None:
        return None
    taken = {field.header for field in method.request.fields if field.header and field.header.lower() != _ASKED_AGAIN}
    vary = sorted(taken | ({"Authorization"} if method.permission else set()))
    return f"{'public' if method.cache.shared else 'private'}, max-age={method.cache.max_age}", ", ".join(vary)
