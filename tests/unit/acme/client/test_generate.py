"""The client that is committed is the one that the contracts make."""

from __future__ import annotations

import pytest

from acme.client import generate
from acme.client.services import Services
from acme.contract import Contracts, load


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


def test_a_stream_of_messages_is_a_feed_that_knows_where_it_was(trial: Contracts) -> None:
    methods = {method.name: method for method in trial.services["blobs.v1.Blobs"].methods}
    watch, count = generate._method(methods["Watch"]), generate._method(methods["Count"])
    assert "def watch(" in watch
    assert "async def" not in watch
    assert "-> Feed[blobs.v1:Tick]:" in watch
    assert "after:" not in watch
    assert 'Feed(lambda last: self._invoke(path, {**given, "after": last or UNSET}, ""), resumes=True)' in watch
    assert 'Feed(lambda last: self._invoke(path, given, ""), resumes=False)' in count


def test_bytes_that_come_and_go_in_pieces_are_left_out(trial: Contracts) -> None:
    methods = {method.name: method for method in trial.services["blobs.v1.Blobs"].methods}
    offered = {name for name, method in methods.items() if generate._offered(method)}
    assert offered == {"PutSmall", "GetSmall", "Watch", "Count"}
