"""Access tokens that prove nothing: each gets 401 and says why, and a good one goes on working."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from acme.drivers.clock import MovableClock
from tests.system.running import Person, Platform, check_problem, platform


@pytest.fixture(scope="module")
def ada(running: Platform) -> Person:
    """Somebody with a good token."""
    return running.join("ada@example.com")


def encoded(value: object) -> str:
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def decoded(part: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def without_signature(token: str, _one: Platform) -> str:
    header, claims, _signature = token.split(".")
    return f"{encoded({**decoded(header), 'alg': 'none'})}.{claims}."


def signed_by_the_public_key(token: str, one: Platform) -> str:
    """The classic confusion: HS256 with the published key as its secret."""
    header, claims, _signature = token.split(".")
    key = one.call("GET", "/.well-known/jwks.json").json["keys"][0]
    message = f"{encoded({**decoded(header), 'alg': 'HS256'})}.{claims}"
    return f"{message}.{encoded(hmac.digest(json.dumps(key).encode(), message.encode(), hashlib.sha256))}"


def with_other_claims(token: str, _one: Platform) -> str:
    header, claims, signature = token.split(".")
    return f"{header}.{encoded({**decoded(claims), 'sub': 'usr_01h455vb4pex5vsknk084sn02q'})}.{signature}"


def with_another_signature(token: str, _one: Platform) -> str:
    return f"{token.rpartition('.')[0]}.{encoded(bytes(64))}"


def with_an_unknown_key(token: str, _one: Platform) -> str:
    header, claims, signature = token.split(".")
    return f"{encoded({**decoded(header), 'kid': 'nobody'})}.{claims}.{signature}"


def of_another_type(token: str, _one: Platform) -> str:
    header, claims, signature = token.split(".")
    return f"{encoded({**decoded(header), 'typ': 'JWT'})}.{claims}.{signature}"


@pytest.mark.parametrize(
    "forge",
    [
        without_signature,
        signed_by_the_public_key,
        with_other_claims,
        with_another_signature,
        with_an_unknown_key,
        of_another_type,
        lambda token, _: token[:-10],
        lambda token, _: "made.up.token",
        lambda token, _: "a" * 5000,
        lambda token, _: "é",
        lambda token, _: "",
    ],
    ids=[
        "alg none",
        "alg HS256 with the public key",
        "altered claims",
        "a wrong signature",
        "an unknown key",
        "another type",
        "cut short",
        "not a token",
        "endless",
        "not ASCII",
        "nothing",
    ],
)
def test_a_forged_token_is_refused(running: Platform, ada: Person, forge: Callable[[str, Platform], str]) -> None:
    forged = forge(ada.token, running).encode().decode("latin-1")
    headers = {"Authorization": f"Bearer {forged}"}
    reply = running.call("GET", "/v1/projects", headers=headers)
    check_problem(reply, 401)
    assert reply.headers["WWW-Authenticate"].startswith("Bearer")
    assert running.call("GET", "/v1/projects", token=ada.token).status == 200


def test_a_refresh_token_is_no_access_token(running: Platform, ada: Person) -> None:
    check_problem(running.call("GET", "/v1/projects", token=ada.tokens["refresh_token"]), 401)


@pytest.fixture
def moved(tmp_path: Path) -> Iterator[tuple[Platform, MovableClock]]:
    """A platform, and its clock."""
    clock = MovableClock(tmp_path / "clock")
    with platform(tmp_path / "platform", environ={"ACME_CLOCK__URL": f"movable:{tmp_path / 'clock'}"}) as one:
        yield one, clock
    clock.close()


def test_an_expired_token_is_refused_and_a_refreshed_one_is_not(moved: tuple[Platform, MovableClock]) -> None:
    one, clock = moved
    person = one.join("late@example.com")
    assert one.call("GET", "/v1/projects", token=person.token).status == 200
    clock.advance(timedelta(minutes=11))
    check_problem(one.call("GET", "/v1/projects", token=person.token), 401)
    refreshed = one.call("POST", "/v1/sessions:refresh", {"refresh_token": person.tokens["refresh_token"]})
    assert refreshed.status == 200
    assert one.call("GET", "/v1/projects", token=refreshed.json["access_token"]).status == 200


def test_a_token_of_the_future_is_refused_until_its_time_has_come(moved: tuple[Platform, MovableClock]) -> None:
    one, clock = moved
    clock.advance(timedelta(seconds=60))
    person = one.join("early@example.com")
    clock.advance(timedelta(seconds=-60))
    check_problem(one.call("GET", "/v1/projects", token=person.token), 401)
    clock.advance(timedelta(seconds=61))
    assert one.call("GET", "/v1/projects", token=person.token).status == 200


@pytest.mark.drill
def test_a_token_for_another_audience_is_refused(tmp_path: Path) -> None:
    one = Platform(tmp_path / "platform", environ={"ACME_TOKENS__AUDIENCE": "somebody-else"})
    try:
        person = one.start().join("audience@example.com")
        assert one.call("GET", "/v1/projects", token=person.token).status == 200
        assert one.stop() == 0
        del one.environ["ACME_TOKENS__AUDIENCE"]
        one.start()
        check_problem(one.call("GET", "/v1/projects", token=person.token), 401)
        again = one.log_in("audience@example.com")
        assert one.call("GET", "/v1/projects", token=again.token).status == 200
    finally:
        one.close()
