"""Refused handshakes are counted by reason, and told no more often than anybody wants to read."""

from __future__ import annotations

import ssl

import pytest
import structlog

from acme.runtime.tls.refusals import QUIET, REASONS, Counted, Listened, Refusals
from acme.telemetry import Metrics
from tests.handshakes import handshake


def error(reason: str) -> ssl.SSLError:
    made = ssl.SSLError(1, reason)
    made.reason = reason
    return made


def counts(metrics: Metrics) -> dict[str, float]:
    lines = metrics.render().decode().splitlines()
    found = [line.split('"') for line in lines if line.startswith("acme_gateway_tls_refused_total{")]
    return {parts[1]: float(parts[2].strip("} ")) for parts in found}


def test_each_is_counted_by_its_reason() -> None:
    metrics = Metrics()
    refusals = Refusals(metrics)
    for reason in ("NO_SHARED_CIPHER", "NO_SHARED_CIPHER", "HTTP_REQUEST"):
        refusals.add(error(reason))
    assert counts(metrics) == {"NO_SHARED_CIPHER": 2, "HTTP_REQUEST": 1}


def test_reasons_beyond_those_that_anybody_needs_share_a_series() -> None:
    metrics = Metrics()
    refusals = Refusals(metrics)
    for number in range(3 * REASONS):
        refusals.add(error(f"REASON_{number}"))
    found = counts(metrics)
    assert len(found) == REASONS + 1
    assert found["other"] == 2 * REASONS


def test_one_line_a_while_says_how_many_there_were_besides() -> None:
    now = [0.0]
    refusals = Refusals(Metrics(), lambda: now[0])
    with structlog.testing.capture_logs() as lines:
        for _ in range(5):
            refusals.add(error("HTTP_REQUEST"))
        now[0] += QUIET
        refusals.add(error("NO_SHARED_CIPHER"))
    assert [(line["reason"], line["more"]) for line in lines] == [("HTTP_REQUEST", 0), ("NO_SHARED_CIPHER", 4)]


def test_a_handshake_that_fails_is_added_to_those_of_its_context() -> None:
    metrics = Metrics()
    server = Listened(ssl.PROTOCOL_TLS_SERVER)
    server.refusals, server.sslobject_class = Refusals(metrics), Counted
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    with pytest.raises(ssl.SSLError):
        handshake(server, client)  # which has no certificate
    assert list(counts(metrics)) == ["NO_SHARED_CIPHER"]
