"""The standard health service, grpc.health.v1, of what one server serves.

A service is serving while it is hosted and the server is not on its way out. The whole server, "", is serving when requests
can be served at all: `able` says so. https://github.com/grpc/grpc/blob/master/doc/health-checking.md
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection
from typing import Final

from google.protobuf.message import DecodeError
from grpclib.health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from acme.errors import Malformed

CHECK: Final = "/grpc.health.v1.Health/Check"
WATCH: Final = "/grpc.health.v1.Health/Watch"

LOOK: Final = 0.5
"""Seconds between two looks at `able`, which nobody announces."""

_SERVING: Final = HealthCheckResponse.SERVING
_NOT_SERVING: Final = HealthCheckResponse.NOT_SERVING
_UNKNOWN: Final = HealthCheckResponse.SERVICE_UNKNOWN


def is_serving(reply: bytes) -> bool:
    """What somebody else's Check says; what it does not say well is no."""
    try:
        return HealthCheckResponse.FromString(reply).status == _SERVING
    except DecodeError:
        return False


class Health:
    """What is served here, and whether."""

    def __init__(self, services: Collection[str], able: Callable[[], bool]) -> None:
        self._services, self._able = services, able
        self._known = {""}
        self._waiting: set[asyncio.Future[None]] = set()
        self.draining = False

    def changed(self) -> None:
        """Tells those who watch: a service came or went, or draining began."""
        self._known.update(self._services)
        for future in self._waiting:
            if not future.done():
                future.set_result(None)

    def serving(self, service: str) -> bool:
        """Whether calls of a service are answered; of "" whether the whole process is fit for them."""
        if self.draining:
            return False
        return self._able() if not service else service in self._services

    def check(self, request: bytes) -> bytes | None:
        """Reply to a Check; `None` when the service has never been here.

        Raises:
            Malformed: it is no request.
        """
        service = _service(request)
        if service not in self._known:
            return None
        return HealthCheckResponse(status=self._status(service)).SerializeToString()

    async def watch(self, request: bytes) -> AsyncGenerator[bytes, None]:
        """Replies to a Watch: the state now, and every other one after it, without an end."""
        service = _service(request)
        said = None
        while True:
            status = self._status(service)
            if status != said:
                said = status
                yield HealthCheckResponse(status=status).SerializeToString()
            await self._change()

    def _status(self, service: str) -> HealthCheckResponse.ServingStatus.ValueType:
        if service not in self._known:
            return _UNKNOWN
        return _SERVING if self.serving(service) else _NOT_SERVING

    async def _change(self) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            async with asyncio.timeout(LOOK):
                await future
        except TimeoutError:
            pass
        finally:
            self._waiting.discard(future)


def _service(request: bytes) -> str:
    try:
        return HealthCheckRequest.FromString(request).service
    except DecodeError:
        raise Malformed("The request is no HealthCheckRequest.") from None
