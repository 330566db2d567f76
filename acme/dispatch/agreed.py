"""Which workers mean by a contract what we do, or near enough: asked before anything is sent to them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from acme.contract import Contracts, Service
from acme.contract.agreement import differences, whole
from acme.contracts.placement.v1 import Served
from acme.dispatch.describe import digest
from acme.telemetry import logger

log: Final = logger(__name__)

SAME: Final = "ok"
COMPATIBLE: Final = "compatible"
"""Not the same, and nobody loses anything by the difference."""
DIFFERS: Final = "contract differs"


class Agreed:
    """What was found out so far, by service and digest: a contract is compared once."""

    def __init__(self, contracts: Contracts) -> None:
        self._contracts = contracts
        self._known: dict[tuple[str, str], bool] = {}

    def of(self, served: Served, service: Service) -> str:
        """How a worker's contract stands to ours: SAME, COMPATIBLE, or DIFFERS, which is also what is not known."""
        if served.digest == digest(service):
            return SAME
        return COMPATIBLE if self._known.get((served.service, served.digest)) else DIFFERS

    def unknown(self, described: Iterable[Served]) -> list[str]:
        """Services whose contract has to be seen whole."""
        services = self._contracts.services
        return [
            one.service
            for one in described
            if one.service in services
            and self.of(one, services[one.service]) == DIFFERS
            and (one.service, one.digest) not in self._known
        ]

    def learn(self, served: Served) -> None:
        """Compares a contract that was seen whole. Without it nothing is agreed, and nothing is noted."""
        service = self._contracts.services.get(served.service)
        if service is None or not served.contract:
            return
        found = differences(whole(service), served.contract, served.service)
        self._known[served.service, served.digest] = not found
        told = {"service": served.service, "plugin": served.plugin, "version": served.plugin_version}
        if found:
            log.error("a worker keeps another contract: its calls are refused", **told, differences=found[:10])
        else:
            log.warning("a worker keeps another contract that is compatible: its calls go on", **told)
