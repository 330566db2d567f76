"""Names of workers whose addresses the test changes."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import replace

from acme.dispatch import Remote
from tests.unit.acme.dispatch.town import QUICK, Town, Worker, until


class Names:
    """A name service whose answer the test says."""

    def __init__(self, *hosts: str) -> None:
        self.hosts = hosts
        self.asked = 0

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        assert host == "workers.test"
        self.asked += 1
        if not self.hosts:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return self.hosts

    async def ask(self) -> None:
        """Returns when it has been asked once more, and what it said has been made use of."""
        asked = self.asked
        await until(lambda: self.asked >= asked + 2)


def named(town: Town, names: Names, worker: Worker) -> Remote:
    address = worker.address.replace("127.0.0.1", "workers.test")
    return town.remote(address, settings=replace(QUICK, look_up=0.02), resolve=names.resolve)
