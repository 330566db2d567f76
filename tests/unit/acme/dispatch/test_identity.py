"""Proofs of who calls, and what goes along with a call."""

from __future__ import annotations

import base64
import time
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acme.context import ANONYMOUS, Call, IdempotencyKey, Kind, Principal
from acme.dispatch.headers import Reader
from acme.dispatch.identity import (
    Identity,
    bearer,
    block,
    deadline,
    idempotency,
    metadata,
    seen,
    service_principal,
    text,
    timeout_text,
)
from acme.drivers.clock import MovableClock, SystemClock
from acme.drivers.vault import Vault
from tests.services import ANN

PATH = "/acme.projects.v1.Projects/GetProject"
CIPHER = Vault(b"a master secret for the tests, 32+")
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def call(principal: Principal = ANN, **more: object) -> Call:
    made = Call(PATH[1:], principal, "req_1", 0.0, "gateway", "192.0.2.1", "00-trace", None, credentials="a.b.c")
    for name, value in more.items():
        setattr(made, name, value)
    return made


def proved(identity: Identity, made: Call) -> dict[bytes, bytes]:
    headers = metadata(made)
    headers[b"acme-identity"] = identity.prove(made.service, PATH, headers)
    return headers


@pytest.fixture
def clock(tmp_path: Path) -> MovableClock:
    return MovableClock(tmp_path / "clock")


@pytest.fixture
def identity(clock: MovableClock) -> Identity:
    return Identity(CIPHER, clock)


def test_a_proof_names_the_caller(identity: Identity) -> None:
    assert identity.caller(PATH.encode(), proved(identity, call())) == "gateway"


@pytest.mark.parametrize(
    "name",
    [b"acme-service", b"authorization", b"acme-principal", b"acme-address", b"x-request-id", b"acme-idempotency-key",
     b"acme-idempotency-fingerprint"],
)  # fmt: skip
def test_a_proof_is_of_everything_that_is_believed(identity: Identity, name: bytes) -> None:
    headers = proved(identity, call(idempotency=IdempotencyKey("k", b"f")))
    headers[name] = b"other"
    assert identity.caller(PATH.encode(), headers) == ""


def test_a_proof_is_for_one_method_and_one_master_key(identity: Identity, clock: MovableClock) -> None:
    headers = proved(identity, call())
    assert identity.caller(b"/acme.projects.v1.Projects/ArchiveProject", headers) == ""
    assert Identity(Vault(b"the master secret of other people"), clock).caller(PATH.encode(), headers) == ""


def test_a_proof_holds_for_thirty_seconds_either_way(identity: Identity, clock: MovableClock) -> None:
    early = proved(identity, call())
    clock.advance(timedelta(seconds=29))
    assert identity.caller(PATH.encode(), early) == "gateway"
    clock.advance(timedelta(seconds=2))
    assert identity.caller(PATH.encode(), early) == ""


@pytest.mark.parametrize("proof", [b"", b"!", b"AAAA", base64.b64encode(b"\x7f\xf8" + b"\0" * 38)])
def test_what_is_no_proof_proves_nothing(identity: Identity, proof: bytes) -> None:
    headers = {**proved(identity, call()), b"acme-identity": proof}
    assert identity.caller(PATH.encode(), headers) == ""
    del headers[b"acme-identity"]
    assert identity.caller(PATH.encode(), headers) == ""


@given(request_id=TEXT, key=TEXT, fingerprint=st.binary(max_size=32))
def test_any_text_goes_along(request_id: str, key: str, fingerprint: bytes) -> None:
    headers = metadata(call(request_id=request_id, idempotency=IdempotencyKey(key, fingerprint)))
    assert text(headers[b"x-request-id"]) == request_id
    assert idempotency(headers) == IdempotencyKey(key, fingerprint)
    for value in headers.values():
        assert value.decode().isprintable()
        assert not value.startswith(b" ")


def test_a_token_goes_along_and_only_a_users() -> None:
    assert bearer(metadata(call())) == "a.b.c"
    assert bearer(metadata(call(Principal(Kind.SERVICE, "gateway")))) == ""
    assert bearer(metadata(call(ANONYMOUS, credentials=""))) == ""
    assert bearer({b"authorization": b"Basic abc"}) == ""


def test_what_the_caller_knows_goes_along_with_a_token() -> None:
    assert seen(metadata(call(seen=12))) == 12
    assert seen(metadata(call())) == 0
    assert seen(metadata(call(ANONYMOUS, credentials="", seen=12))) == 0


@pytest.mark.parametrize("said", [b"", b"-1", b"1.5", b"x", b"\xb2", b"9" * 20])
def test_what_is_no_number_of_a_change_is_none(said: bytes) -> None:
    assert seen({b"acme-seen": said}) == 0


def test_a_service_says_for_whom_it_calls() -> None:
    for principal in (Principal(Kind.SERVICE, "gateway"), Principal(Kind.SERVICE, "billing")):
        assert service_principal("gateway", metadata(call(principal))) == principal
    assert service_principal("", metadata(call(Principal(Kind.SERVICE, "gateway")))) is None
    assert service_principal("gateway", metadata(call())) is None


def test_metadata_becomes_a_block_of_headers() -> None:
    headers = proved(Identity(CIPHER, SystemClock()), call(idempotency=IdempotencyKey("k", b"f")))
    assert dict(Reader().decode(block(headers), raw=True)) == headers


@pytest.mark.parametrize("seconds", [1e-7, 0.00123, 0.5, 10.0, 89.9, 90.0, 3600.0, 86_400.0, 1e9])
def test_time_that_is_left_arrives(seconds: float) -> None:
    header = timeout_text(seconds)
    assert len(header) <= 9
    arrived = deadline({b"grpc-timeout": header}, 7.0, lambda: 100.0) - 100.0
    assert arrived == pytest.approx(min(seconds, 99_999_999), rel=0.01, abs=1e-6)


def test_without_a_timeout_there_is_the_usual_one() -> None:
    assert deadline({}, 7.0) == pytest.approx(time.monotonic() + 7, abs=1)


@pytest.mark.parametrize("header", [b"", b"S", b"1", b"-1S", b"1.5S", b"123456789S", b"1s", "١S".encode()])
def test_a_timeout_that_cannot_be_read_is_told(header: bytes) -> None:
    with pytest.raises(ValueError, match="grpc-timeout"):
        deadline({b"grpc-timeout": header}, 7.0)


def test_a_broken_key_is_none() -> None:
    assert idempotency({b"acme-idempotency-key": b"k", b"acme-idempotency-fingerprint": b"*"}) is None
    assert idempotency({b"acme-idempotency-key": b"k"}) is None
