"""The audit service alone, an organisation's owner, and the service's database, to bring records into."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from acme_audit import plugin as audit_plugin

from acme.context import Membership
from acme.contracts.audit.v1 import AuditStub
from acme.drivers import postgres as driver
from acme.drivers.files import Files
from acme.drivers.vault import Vault
from acme.plugin import Plugin
from acme.tasks import Tasks
from acme.telemetry import Metrics
from acme.testing import Platform, User
from tests.audits import Rig

MASTER: Final = b"a master secret for these tests, and no others"


@pytest.fixture(scope="module")
def plugins() -> list[Plugin]:
    return [audit_plugin]


@pytest.fixture(scope="module")
def settings() -> Mapping[str, Any]:
    return {"secrets": {"master_key": base64.b64encode(MASTER).decode()}}


@pytest.fixture
def ada(platform: Platform) -> User:
    return platform.somebody()


@pytest.fixture
def bob(platform: Platform, ada: User) -> User:
    """A member of ada's organisation, and no administrator."""
    bob = platform.somebody()
    memberships = {**bob.principal.memberships, ada.organization: Membership("member")}
    return replace(bob, principal=replace(bob.principal, memberships=memberships))


@pytest.fixture
def audit(platform: Platform, ada: User) -> AuditStub:
    """The service, called by ada."""
    return platform.stub(AuditStub, as_=ada)


@pytest.fixture
async def log(platform: Platform, tmp_path: Path) -> AsyncIterator[Rig]:
    """The service's own parts over the platform's database."""
    async with Tasks("test", Metrics()) as tasks:
        url = platform.database("audit")
        pool = await driver.open(url, size=2, tasks=tasks)
        try:
            yield Rig(url, pool, platform.clock, Files(tmp_path / "objects"), "local", Vault(MASTER))
        finally:
            await pool.close()
