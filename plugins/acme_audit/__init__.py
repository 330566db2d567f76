"""The audit service: keeps the records of `acme.audit.log` so that nothing is lost, and nothing altered unseen."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from acme import NoSettings, Plugin, Resources


@asynccontextmanager
async def service(resources: Resources[NoSettings]) -> AsyncIterator[tuple[object, ...]]:
    """What the plugin hosts."""
    yield ()


plugin = Plugin(name="audit", version="0.1.0", package=__name__, contracts=(), service=service)
