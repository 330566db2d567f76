"""`[gateway.services]`: what one service may take of a gateway."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

Many = Annotated[int, Meta(ge=1, le=1_000_000)]


class ServiceSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[gateway.services.NAME]`, by the full name of a service, or "default" for those that are not named. In seconds."""

    concurrency: Many = 1000
    """Calls under way at a time. One more waits, and is answered 503 (`service_busy`) when none ends in time."""
    queue: Annotated[int, Meta(ge=0, le=1_000_000)] = 200
    """Calls that may wait."""
    wait: Annotated[float, Meta(gt=0, le=60)] = 0.1
    """How long one waits at most."""
    streams: Many = 2000
    """Uploads, downloads and streams of events under way at a time, counted apart; then 503 (`too_many_streams`). Of a
    service in another process, up to 256 KiB may wait here for each client that is slow."""
    failures: Annotated[int, Meta(ge=0, le=1_000_000)] = 20
    """After so many calls in a row that got no answer no more are sent for a while: 503 (`circuit_open`). 0: never."""
    pause: Annotated[float, Meta(gt=0, le=60)] = 1.0
    """How long the first such while is. Then one call tries; while that gets no answer either, each is twice as long, up to
    30."""
