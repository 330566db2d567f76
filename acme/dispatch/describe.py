"""What a process serves, and which contract it means by it: asked by whoever connects (protos/acme/placement).

Two processes that mean different things by one method must not find out by losing fields. So each side reckons a digest of
every contract (acme/contract/digest.py). Who finds another asks for the contract itself, and uses the address for that
service only where the difference harms nobody (acme/contract/agreement.py).
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from functools import cache

from acme.contract import Service
from acme.contract.agreement import whole
from acme.contract.digest import digest as _digest
from acme.contracts.placement.v1 import DescribeReply, DescribeRequest, Served, WorkerBase
from acme.dispatch.serve import Host

CALLER = "placement"
"""The name in which a description is asked for."""


class Worker(WorkerBase):
    """Describes what is hosted at the moment."""

    def __init__(self, hosts: Mapping[str, Host]) -> None:
        self._hosts = hosts

    async def describe(self, message: DescribeRequest) -> DescribeReply:
        described = [served(host) for host in self._hosts.values()]
        for one in described:
            if one.service in message.wanted:
                one.contract = whole(self._hosts[one.service].service)
        return DescribeReply(services=described)


def served(host: Host) -> Served:
    """How a hosted service is described."""
    return Served(
        service=host.service.name,
        digest=digest(host.service),
        plugin=host.plugin,
        plugin_version=host.version,
        platform_version=_platform(),
    )


@cache
def digest(service: Service) -> str:
    """The service's contract as one number; reckoned once."""
    return _digest(service)


@cache
def _platform() -> str:
    return importlib.metadata.version("acme-platform")
