"""What contracts say of permissions."""

from __future__ import annotations

from acme.contract import Work, least_roles, reading
from tests.services import CONTRACTS

SERVICES = tuple(CONTRACTS.services.values())


def test_the_least_role_of_a_permission_is_its_methods() -> None:
    roles = least_roles(SERVICES)
    assert (roles["projects.read"], roles["projects.create"]) == ("viewer", "member")
    assert "" not in roles


def test_a_permission_reads_when_all_its_methods_do() -> None:
    reads = reading(SERVICES)
    assert {"projects.read", "tokens.read", "sessions.read"} <= reads
    assert reads.isdisjoint({"projects.create", "tokens.create", "sessions.delete", ""})


def test_a_method_that_takes_a_body_may_read_when_it_says_so() -> None:
    [batch] = [method for service in SERVICES for method in service.methods if method.name == "BatchGetProjects"]
    assert batch.permission == "projects.read"
    assert [route.verb for route in batch.routes] == ["POST"]


def test_no_permission_that_reads_has_a_method_that_writes() -> None:
    reads = reading(SERVICES)
    methods = [method for service in SERVICES for method in service.methods if method.permission in reads]
    assert methods
    # One that is audited when it reads writes that down, and nothing else.
    assert all(method.work is Work.NONE or method.audit.reads for method in methods)
