"""`[gateway]`: what an operator may set."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from acme.contract import LONGEST_KEPT, MOST_COST, MOST_SECONDS
from acme.gateway import tls_settings
from acme.gateway.overload_settings import OverloadSettings
from acme.gateway.peers import ConnectionSettings
from acme.gateway.service_settings import ServiceSettings
from acme.gateway.tls_settings import ListenerSettings, TlsSettings

Seconds = Annotated[float, Meta(gt=0, le=3600)]

LONGEST_LINE: Final = 8190
"""Bytes of the request line, and of one header field; longer ones get 414 or 431."""
MOST_HEADERS: Final = 100
LARGEST_HEAD: Final = 65_536
"""Bytes of a request line and its headers together; more get 431."""


MOST_BODY: Final = 4 * 1024 * 1024
"""Bytes of a body that is held in memory: gRPC takes no larger message."""


PerMinute = Annotated[float, Meta(gt=0, le=60_000_000)]
Burst = Annotated[int, Meta(ge=1, le=10_000_000)]

_ORIGIN: Final = re.compile(r"https?://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")


class ClassSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of one rate class: `rate` requests a minute on average, `burst` at once."""

    rate: PerMinute = 3000.0
    """Of a principal: a user, or a program with an access token of its own."""
    burst: Burst = 500
    address_rate: PerMinute = 6000.0
    """Of an IP address (of IPv6, a /64), whoever is behind it."""
    address_burst: Burst = 1000


class Allowance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a plan says of a principal, for one class."""

    rate: PerMinute
    burst: Burst


class LimitSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[gateway.limits]`: how often anybody may ask."""

    keys: Annotated[int, Meta(ge=100, le=100_000_000)] = 100_000
    """Addresses, and principals, of a class that are counted one by one, at about 200 bytes each (over Redis half
    as many, at 400). Beyond, addresses share what their /24 (of IPv6, /48) may ask, and then the /16 (/32), which are half
    as many again; principals share a few."""
    default: ClassSettings = ClassSettings()
    """Every method whose contract names no class."""
    credentials: ClassSettings = ClassSettings(rate=10.0, burst=20, address_rate=10.0, address_burst=20)
    """Log-in, sign-up, passwords and the like."""
    classes: dict[str, ClassSettings] = msgspec.field(default_factory=dict)
    """Other classes that contracts name; one that is not here has the numbers of `default`, and is counted apart."""
    plans: dict[str, dict[str, Allowance]] = msgspec.field(default_factory=dict)
    """By plan and class, what stands in the place of the class's `rate` and `burst`."""
    organizations: dict[str, str] = msgspec.field(default_factory=dict)
    """Organisation → plan. A principal is on the plan of the first of its organisations that has one, its home before the
    others; on "default" without one."""

    def __post_init__(self) -> None:
        for organization, plan in self.organizations.items():
            if plan not in self.plans:
                raise ValueError(f"organizations.{organization}: there is no plan {plan!r} in [gateway.limits.plans]")


class CorsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[gateway.cors]`: which pages of other origins may call."""

    origins: tuple[str, ...] = ()
    """Such as "https://app.example", compared whole; "*" alone is any. None: no page of another origin may."""
    credentials: bool = False
    """Whether browsers may send cookies and the like along. Access tokens need none of that."""
    max_age: Annotated[int, Meta(ge=0, le=86_400)] = 600
    """How long a browser may remember the answer to a preflight."""

    def __post_init__(self) -> None:
        if "*" in self.origins and (self.credentials or len(self.origins) > 1):
            raise ValueError('origins = ["*"] stands alone, and without credentials')
        for origin in self.origins:
            if origin != "*" and _ORIGIN.fullmatch(origin) is None:
                raise ValueError(
                    f'{origin!r} is no origin: scheme and host in small letters, perhaps a port, such as "https://app.example"'
                )


class RouteSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[gateway.routes."package.Service/Method"]`: what stands in the place of what a contract says of a method."""

    timeout: Annotated[float, Meta(gt=0, le=MOST_SECONDS)] | None = None
    """Seconds for a request whose client asks for no other time."""
    cost: Annotated[int, Meta(ge=1, le=MOST_COST)] | None = None
    """How many requests it counts as for limits."""
    rate_class: Annotated[str, Meta(min_length=1)] | None = None
    """Which limits it is charged to."""
    cache: Annotated[int, Meta(ge=0, le=LONGEST_KEPT)] | None = None
    """Seconds that clients may keep an answer; 0: not at all. Only of a GET whose reply holds no secret."""
    max_body: Annotated[int, Meta(ge=1024)] | None = None
    """Bytes of a request body, in the place of `max_body` or, where it is a stream, of `max_upload`."""


class GatewaySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of the gateway. Times in seconds, sizes in bytes."""

    max_body: Annotated[int, Meta(ge=1024, le=MOST_BODY)] = 1024 * 1024
    """Largest request body; a larger one gets 413."""
    max_upload: Annotated[int, Meta(ge=1024)] = 5 * 1024**3
    """Largest body of a request that is taken as a stream; a larger one gets 413."""
    timeout: Seconds = 10.0
    """Time for a request whose client sends no X-Request-Timeout; then 504."""
    max_timeout: Seconds = 60.0
    """The most that X-Request-Timeout may ask for; more means this."""
    transfer_timeout: Seconds = 3600.0
    """Time for a request of which the body or the answer is a stream, unless X-Request-Timeout asks for less."""
    body_timeout: Seconds = 10.0
    """Time a client may take to send the body; then 408. Of a stream, time in which nothing comes."""
    body_rate: Annotated[int, Meta(ge=0, le=1_000_000)] = 1024
    """Bytes a second that a body taken as a stream has to come at, on average, after the first `body_timeout`; then 408."""
    head_timeout: Seconds = 10.0
    """Time a client may take to send the head of a request, from its first byte or, of the first one, from the connection's
    beginning; then 408."""
    write_timeout: Seconds = 30.0
    """Time a client may take to read a reply that does not fit into the socket's buffer; then it is cut off. Of a stream,
    time in which it reads nothing."""
    heartbeat: Seconds = 15.0
    """Of a stream of events, time in which nothing comes until a comment is sent, so that nobody on the way gives up the
    connection; and until somebody whose token has ended is sent away."""
    streams_each: Annotated[int, Meta(ge=1, le=1_000_000)] = 200
    """Uploads, downloads and streams of events at a time, of one principal (of an address, where nobody is known); then
    429."""
    keepalive: Seconds = 75.0
    """How long an idle connection is kept; at least as long as a load balancer in front keeps its own."""
    access_log: bool = True
    """One JSON line a request on stderr."""
    proxies: tuple[str, ...] = ()
    """Networks that are believed who the client is, such as "10.0.0.0/8": of the balancers in front, and of nobody else."""
    forwarded: Literal["X-Forwarded-For", "Forwarded"] = "X-Forwarded-For"
    """The header in which they say it; Forwarded is that of RFC 7239. The other one is not looked at."""
    docs: bool = True
    """Whether /docs shows the API in a browser, to read and to try."""
    connections: ConnectionSettings = ConnectionSettings()
    """Who may be connected."""
    overload: OverloadSettings = OverloadSettings()
    """How much is taken on at a time."""
    limits: LimitSettings = LimitSettings()
    """How often anybody may ask."""
    cors: CorsSettings = CorsSettings()
    """Which pages of other origins may call."""
    routes: dict[str, RouteSettings] = msgspec.field(default_factory=dict)
    """By method, such as "acme.projects.v1.Projects/GetProject", what stands in the place of what its contract says."""
    tls: TlsSettings = TlsSettings()
    """Certificates; none: plain HTTP."""
    listeners: dict[str, ListenerSettings] = msgspec.field(default_factory=dict)
    """Further addresses, by a name of your choice."""
    services: dict[str, ServiceSettings] = msgspec.field(default_factory=lambda: {"default": ServiceSettings()})
    """What one service may take of the gateway, by its full name, or "default"."""

    def __post_init__(self) -> None:
        for network in self.proxies:
            ip_network(network)
        tls_settings.check(self.tls, self.listeners)
