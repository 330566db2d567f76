"""What a request to another process begins with."""

from __future__ import annotations

import time

import pytest

from acme.context import Call
from acme.dispatch.headers import Reader, Writer
from acme.dispatch.identity import Identity, deadline
from acme.dispatch.requests import Requests
from acme.drivers.clock import SystemClock
from acme.drivers.vault import Vault
from acme.errors import DeadlineExceeded
from tests.services import ANN

CIPHER = Vault(b"a master secret for the tests, 32+")
PATH = "/acme.projects.v1.Projects/GetProject"


def call(seconds: float) -> Call:
    return Call(PATH[1:], ANN, "req_1", time.monotonic() + seconds, "gateway", credentials="a.b.c")


@pytest.mark.parametrize(("secure", "scheme"), [(True, b"https"), (False, b"http")])
def test_a_request_says_what_grpc_wants_and_who_calls(secure: bool, scheme: bytes) -> None:
    requests = Requests(CIPHER, SystemClock(), "projects", secure=secure)
    for _ in range(2):
        headers = dict(Reader().decode(Writer().encode(requests.head(PATH, call(3))), raw=True))
        assert (headers[b":method"], headers[b":scheme"], headers[b":path"]) == (b"POST", scheme, PATH.encode())
        assert (headers[b":authority"], headers[b"te"]) == (b"projects", b"trailers")
        assert headers[b"content-type"].startswith(b"application/grpc")
        assert deadline(headers, 0) == pytest.approx(time.monotonic() + 3, abs=0.5)
        assert Identity(CIPHER, SystemClock()).caller(PATH.encode(), headers) == "gateway"


def test_without_time_there_is_no_request() -> None:
    with pytest.raises(DeadlineExceeded):
        Requests(CIPHER, SystemClock(), "projects", secure=False).head(PATH, call(-1))
