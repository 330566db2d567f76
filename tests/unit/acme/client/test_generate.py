"""The client that is committed is the one that the contracts make."""

from __future__ import annotations

import pytest

from acme.client import generate
from acme.client.services import Services
from acme.contract import load


def test_it_is_as_generated() -> None:
    assert generate.TARGET.read_text() == generate.generate()
    assert generate.main(["--check"]) == 0


def test_a_client_that_is_not_as_generated_is_told_of(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path_factory.mktemp("client") / "services.py"
    monkeypatch.setattr(generate, "TARGET", target)
    assert generate.main(["--check"]) == 1
    assert "make proto" in capsys.readouterr().err
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0


def test_every_route_has_a_method() -> None:
    async def invoke(path: str, given: object, key: str) -> None: ...

    services = Services(invoke)
    for service in load("acme.contracts").services.values():
        for method in service.methods:
            if method.routes:
                assert any(hasattr(part, method.attr) for part in vars(services).values()), method.path
