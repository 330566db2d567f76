"""`[gateway]`: what an operator may set."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

Seconds = Annotated[float, Meta(gt=0, le=3600)]

LONGEST_LINE: Final = 8190
"""Bytes of the request line, and of one header field; longer ones get 414 or 431."""
MOST_HEADERS: Final = 100


class GatewaySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of the gateway. Times in seconds, sizes in bytes."""

    max_body: Annotated[int, Meta(ge=1024, le=4 * 1024 * 1024)] = 1024 * 1024
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
    write_timeout: Seconds = 30.0
    """Time a client may take to read a reply that does not fit into the socket's buffer; then it is cut off. Of a stream,
    time in which it reads nothing."""
    keepalive: Seconds = 75.0
    """How long an idle connection is kept; at least as long as a load balancer in front keeps its own."""
    access_log: bool = True
    """One JSON line a request on stderr."""
