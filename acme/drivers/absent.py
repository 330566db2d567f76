"""`none:`, a cache that keeps nothing, as one whose Redis is gone for good.

For processes that host the same plugins and share no memory: what each kept for itself would be wrong in the others.
"""

from __future__ import annotations

from typing import Any, Final

from acme.drivers.spaces import Spaces
from acme.errors import Unavailable
from acme.telemetry import Metrics


def open_cache(url: str, *, metrics: Metrics, **_others: Any) -> Spaces:
    """A cache in which nothing is ever found."""
    return Spaces(AbsentStore(), metrics)


class AbsentStore:
    """`Store` that refuses everything."""

    state: Final = 'there is none: several processes share a Redis ([cache] url = "redis://host:6379/0")'

    async def get(self, name: bytes) -> bytes | None:
        raise _none()

    async def set(self, name: bytes, value: bytes, life: int) -> None:
        raise _none()

    async def delete(self, name: bytes) -> None:
        raise _none()

    async def add(self, name: bytes, value: bytes, life: int) -> bool:
        raise _none()

    async def increment(self, name: bytes, by: int, life: int) -> int:
        raise _none()

    async def close(self) -> None:
        """There is nothing to close."""


def _none() -> Unavailable:
    return Unavailable("There is no cache here.", reason="cache_unavailable")
