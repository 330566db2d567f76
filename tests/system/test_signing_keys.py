"""The keys that sign our own access tokens are changed while clients ask, at two gateways: none of their requests fails."""

from __future__ import annotations

import base64
import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from acme.drivers.clock import MovableClock
from tests.system.running import ACME, WITHOUT_AUDIT, Person, Platform, call, check_problem, known_within
from tests.system.steady import Steady, steady

PATH = "/v1/projects"
ROTATIONS = 3


@dataclass
class Town:
    platform: Platform
    clock: MovableClock
    gateways: list[str]

    def rotate(self, *options: str) -> str:
        """`acme users rotate-keys`; what it said."""
        command = [ACME, "users", "rotate-keys", *options, "--data", str(self.platform.data)]
        one = self.platform
        done = subprocess.run(command, cwd=one.folder, env=one.environ, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def published(self) -> list[set[str]]:
        """The kids that each gateway shows."""
        shown = [call(api, "GET", "/.well-known/jwks.json").json["keys"] for api in self.gateways]
        return [{key["kid"] for key in keys} for keys in shown]


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    clock = MovableClock(tmp_path / "clock")
    environ = {"ACME_CLOCK__URL": f"movable:{tmp_path / 'clock'}", "ACME_SPLIT__GATEWAYS": "2", **WITHOUT_AUDIT}
    one = Platform(tmp_path / "platform", "--port", "0", "--split", environ=environ)
    try:
        one.start()
        yield Town(one, clock, [each["address"] for each in one.ready["processes"] if "gateway" in each["name"]])
        assert one.stop() == 0
    finally:
        one.close()
        clock.close()


def kid(token: str) -> str:
    """The key that signed a token."""
    header = token.partition(".")[0]
    return str(json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))["kid"])


class Tokens:
    """The tokens of one person that are alive, handed out in turn."""

    def __init__(self, first: str) -> None:
        self._all, self._next, self._lock = [first], 0, threading.Lock()

    def add(self, token: str) -> None:
        with self._lock:
            self._all.append(token)

    def __call__(self) -> str:
        with self._lock:
            self._next += 1
            return self._all[self._next % len(self._all)]


@pytest.mark.drill
def test_keys_are_rotated_under_load_and_no_request_fails(town: Town, measured: Callable[[str, object], None]) -> None:
    ada = town.platform.join("ada@example.com")
    tokens, kids = Tokens(ada.token), [kid(ada.token)]
    with ExitStack() as stack:
        loads = [stack.enter_context(steady(api, PATH, tokens, clients=2, pause=0.005)) for api in town.gateways]
        for _ in range(ROTATIONS):
            told = town.rotate("--lead", "10")
            assert kid(_token_of(town, ada)) == kids[-1], "the one before signs until the time of the new one has come"
            town.clock.advance(timedelta(seconds=16))
            tokens.add(fresh := _token_of(town, ada))
            kids.append(kid(fresh))
            assert kids[-1] in told
            for load in loads:
                load.more(100)
        assert len(set(kids)) == ROTATIONS + 1
        assert town.published() == [set(kids), set(kids)], "those before, too: their tokens are alive"
    _nobody_noticed(loads, measured)


def test_stolen_keys_are_believed_nowhere_within_a_second_and_nobody_has_to_log_in(town: Town) -> None:
    ada = town.platform.join("ada@example.com")
    for api in town.gateways:
        assert call(api, "GET", PATH, token=ada.token).status == 200
    town.rotate("--withdraw")
    for api in town.gateways:
        known_within(1.0, lambda: call(api, "GET", PATH, token=ada.token).status)  # noqa: B023 - called at once
        check_problem(call(api, "GET", PATH, token=ada.token), 401, "invalid_token")
    town.clock.advance(timedelta(seconds=6))
    refreshed = town.platform.call("POST", "/v1/sessions:refresh", {"refresh_token": ada.tokens["refresh_token"]})
    assert refreshed.status == 200
    for api in town.gateways:
        assert call(api, "GET", PATH, token=refreshed.json["access_token"]).status == 200


def _token_of(town: Town, person: Person) -> str:
    """A new one, by a log-in."""
    return town.platform.log_in(person.email).token


def _nobody_noticed(loads: list[Steady], measured: Callable[[str, object], None]) -> None:
    assert [failure for load in loads for failure in load.failures] == []
    measured("requests while signing keys changed, none of which failed", sum(load.asked for load in loads))
