"""Honest clients that go on asking while something else happens, and note every answer."""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from tests.system.running import wait_for


class Steady:
    """What `clients` threads were answered so far, each on a connection that stays, `pause` seconds between questions."""

    def __init__(self, api: str, path: str, token: Callable[[], str], clients: int, pause: float) -> None:
        self._api, self._path, self._token, self._pause = api, path, token, pause
        self.statuses: Counter[int] = Counter()
        self.failures: list[str] = []
        """What went wrong, and anything but 200, with the beginning of its body."""
        self.slowest = 0.0
        self._ends = threading.Event()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(clients)]

    @property
    def asked(self) -> int:
        return self.statuses.total()

    def more(self, requests: int, limit: float = 30.0) -> None:
        """Returns after so many answers more."""
        wanted = self.asked + requests
        wait_for(f"{requests} answers more", lambda: self.asked >= wanted, limit)

    def begin(self) -> None:
        """Starts asking."""
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Asks no more."""
        self._ends.set()
        for thread in self._threads:
            thread.join(30)

    def _ask(self) -> None:
        connection = http.client.HTTPConnection(urlsplit(self._api).netloc, timeout=30)
        with contextlib.closing(connection):
            while not self._ends.wait(self._pause):
                started = time.monotonic()
                try:
                    connection.request("GET", self._path, headers={"Authorization": f"Bearer {self._token()}"})
                    reply = connection.getresponse()
                    body = reply.read()
                except (OSError, http.client.HTTPException) as error:
                    self.failures.append(repr(error))
                    self.statuses[0] += 1
                    connection.close()
                    continue
                self.slowest = max(self.slowest, time.monotonic() - started)
                if reply.status != 200:
                    self.failures.append(f"{reply.status} {body[:200]!r}")
                self.statuses[reply.status] += 1


@contextlib.contextmanager
def steady(api: str, path: str, token: Callable[[], str], clients: int = 4, pause: float = 0.0) -> Iterator[Steady]:
    """Clients that ask `path` with the tokens they are given, for the time of the block."""
    one = Steady(api, path, token, clients, pause)
    one.begin()
    try:
        yield one
    finally:
        one.end()
