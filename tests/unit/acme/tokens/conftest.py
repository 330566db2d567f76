"""A verifier, and the authority it follows."""

from __future__ import annotations

import pytest

from acme.telemetry import Metrics
from acme.tokens import TokenSettings, Verifier
from tests.unit.acme.authority import Authority, Direct


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
async def verifier(authority: Authority) -> Verifier:
    made = Verifier(Direct(authority), authority.clock, TokenSettings(), Metrics())
    await made.poll()
    return made
