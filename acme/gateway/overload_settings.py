"""`[gateway.overload]`: how much a gateway takes on at a time."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class OverloadSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Beyond it a request is answered 503 (`overloaded`) at once, with Retry-After."""

    requests: Annotated[int, Meta(ge=64, le=1_000_000)] = 2000
    """Requests under way at a time, streams not counted."""
    queue: Annotated[float, Meta(gt=0.005, le=10)] = 0.03
    """Seconds that each of them may have to wait for its turn at every step; when all wait for longer, fewer are let in. And
    for its service's database, where that is hosted here; when all wait for longer, plain requests wait unread."""
    wait: Annotated[float, Meta(gt=0.05, le=60)] = 1.0
    """Seconds that a request may have to wait for its service's database, where that is hosted here; and never more than
    a quarter of the time it has."""
