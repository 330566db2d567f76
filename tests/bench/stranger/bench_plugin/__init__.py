"""A stranger's plugin with one method that does nothing. Its contracts are generated when the bench starts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from acme import NoSettings, Plugin, Resources, authorise
from bench_plugin.contracts.bench.v1 import (  # type: ignore[import-not-found]  # generated when the bench starts
    BenchBase,
    PingReply,
    PingRequest,
)


class Bench(BenchBase):  # type: ignore[misc]  # its base is generated when the bench starts
    """Keeps the contract."""

    async def ping(self, message: PingRequest) -> PingReply:
        """Answers."""
        authorise.own("bench.ping")
        return PingReply(message="pong")


@asynccontextmanager
async def _service(resources: Resources[NoSettings]) -> AsyncIterator[tuple[object, ...]]:
    yield (Bench(),)


plugin = Plugin(name="bench", version="1.0", package=__name__, contracts=(BenchBase,), service=_service)
