"""One request on its way through the pipeline."""

from __future__ import annotations

import time
from typing import Any

from aiohttp import web

from acme.context import ANONYMOUS, Principal
from acme.gateway.addresses import Addresses
from acme.gateway.binding import Bound
from acme.gateway.headers import RequestIds
from acme.gateway.limits import Quota
from acme.gateway.server import message_of, task_of
from acme.gateway.transfers import Download


class Exchange:
    """One request on its way, and what became known of it."""

    __slots__ = (
        "address",
        "bound",
        "called",
        "download",
        "headers",
        "message",
        "principal",
        "quota",
        "request",
        "request_id",
        "route",
        "spare",
        "started",
        "task",
    )

    def __init__(self, request: web.BaseRequest, ids: RequestIds, addresses: Addresses) -> None:
        self.request = request
        self.started = time.monotonic()
        self.message = message = message_of(request)
        self.headers = headers = message.headers
        self.request_id = ids.of(headers)
        connection: Any = request.protocol  # a Connection, which server.py makes
        peer = connection.address
        self.address: str = addresses.of(peer, headers) if addresses.believes else peer
        self.task: Any = task_of(request)
        self.route = ""
        self.download: Download | None = None
        """The answer in pieces, once that has begun."""
        self.bound: Bound | None = None
        self.called = False
        """Whether the method was called: what is refused before, is refused by the gateway."""
        self.principal: Principal = ANONYMOUS
        self.quota: Quota | None = None
        """The limit that was asked last, and what it had left."""
        self.spare = 0

    def charge(self, quota: Quota, key: str) -> None:
        """Raises `Exhausted` (429) when there is nothing left for `key`."""
        self.quota = quota
        self.spare = spare = quota.take(key)
        if spare < 0:
            raise quota.refusal(spare)
