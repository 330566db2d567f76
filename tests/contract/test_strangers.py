"""A worker of another make, written against plain grpcio in a process of its own, is a service like any other."""

from __future__ import annotations

import asyncio
import importlib
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from grpc_tools import protoc  # type: ignore[import-untyped]  # it ships no types

from acme.codec.rules import Checks
from acme.codec.wire import Wire
from acme.context import CALL, Call, Kind, Principal
from acme.contract import Contracts
from acme.dispatch import Directory, Pipeline, Remote
from acme.dispatch.place import Settings
from acme.drivers.clock import SystemClock
from acme.drivers.vault import Vault
from acme.errors import (
    Conflict,
    DeadlineExceeded,
    Denied,
    Fault,
    Invalid,
    NotFound,
    Refused,
    Stale,
    Unauthenticated,
    Unavailable,
)
from acme.tasks import Tasks
from acme.telemetry import Metrics
from tests.trial import PACKAGE, PROTOS, trial, trial_folder
from tests.waiting import BUSY

__all__ = ["trial", "trial_folder"]

WORKER = Path(__file__).with_name("stranger_worker.py")
SETTINGS = Settings(health=0.05, tick=0.02)
ANN = Principal(Kind.USER, "usr_ann", scopes=frozenset({"*"}))


@pytest.fixture(scope="module")
async def address(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """Where the stranger's worker is."""
    async for at in _worker(tmp_path_factory.mktemp("worker")):
        yield at


async def _worker(folder: Path) -> AsyncIterator[str]:
    """What a stranger's own build makes of the contract, and the worker."""
    common = Path(str(files("google.api").joinpath("http.proto"))).parents[2]
    search = [PROTOS, PROTOS.parents[1] / "protos", common, Path(str(files("grpc_tools").joinpath("_proto")))]
    arguments = [*(f"--proto_path={path}" for path in search), "--include_imports"]
    assert protoc.main(["", *arguments, f"--descriptor_set_out={folder}/set", "trial/v1/trial.proto"]) == 0
    process = await asyncio.create_subprocess_exec(sys.executable, WORKER, folder / "set", stdin=PIPE, stdout=PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield f"grpc://127.0.0.1:{int(await process.stdout.readline())}"
    finally:
        process.stdin.close()
        await process.wait()


@pytest.fixture
async def remote(trial: Contracts, address: str) -> AsyncIterator[Remote]:
    async for one in _remote(trial, address):
        yield one


async def _remote(trial: Contracts, address: str) -> AsyncIterator[Remote]:
    metrics = Metrics()
    async with Tasks("test", metrics) as tasks:
        pipeline = Pipeline(trial, Wire(trial), Checks(trial), metrics, SystemClock())
        cipher = Vault(b"a master secret for the tests, 32+")
        remote = Remote(address, pipeline, cipher, metrics, tasks, settings=SETTINGS)
        yield remote
        await remote.close()


def client(remote: Remote) -> Any:
    """The stranger's service, through a directory."""
    directory = Directory(remote.pipeline)
    service = remote.pipeline.contracts.services["trial.v1.Trials"]
    directory.connect(service, remote)
    return directory.named("gateway").client(service.stub)


@pytest.fixture
def trials(remote: Remote) -> Any:
    return client(remote)


@pytest.fixture(autouse=True)
def _asking() -> Iterator[None]:
    when = time.monotonic() + 10
    token = CALL.set(Call("", ANN, "req_1", when, "gateway", traceparent="00-trace", credentials="ann's token"))
    yield
    CALL.reset(token)


@pytest.fixture
def everything(trial: Contracts) -> Any:
    """The message, by its generated class."""
    return importlib.import_module(f"{PACKAGE}.trial.v1").Everything


async def test_it_is_called_through_its_contract(trials: Any, everything: Any) -> None:
    reply = await trials.try_everything(everything(string="hello", int64=-7))
    assert (reply.string, reply.int64) == ("hello", -7)


async def test_it_imports_nothing_of_the_platform(trials: Any, everything: Any) -> None:
    modules = (await trials.try_everything(everything(string="modules"))).strings
    assert "grpc" in modules
    assert [name for name in modules if name.startswith("acme")] == []


async def test_it_hears_who_calls_in_whose_name(trials: Any, everything: Any) -> None:
    heard = (await trials.try_everything(everything(string="metadata"))).string_by_string
    assert heard["authorization"] == "Bearer ann's token"
    assert heard["x-request-id"] == "req_1"
    assert heard["traceparent"] == "00-trace"
    assert heard["acme-service"] == "gateway"


async def test_it_knows_how_much_time_is_left(trials: Any, everything: Any) -> None:
    left = (await trials.try_everything(everything(string="deadline"), timeout=8)).double
    assert 8 - BUSY < left <= 8


async def test_it_learns_that_nobody_waits_any_more(trials: Any, everything: Any) -> None:
    with pytest.raises(DeadlineExceeded):
        await trials.try_everything(everything(string="sleep"), timeout=0.4)
    assert (await trials.try_everything(everything(string="was cancelled"))).bool


async def test_its_typed_errors_arrive(trials: Any, everything: Any) -> None:
    with pytest.raises(Invalid) as caught:
        await trials.try_everything(everything(string="refuse"))
    refusal = caught.value
    assert (refusal.message, refusal.reason, refusal.retry_after) == ("That is odd.", "invalid_argument", 1.5)
    assert refusal.faults == (Fault("/int64", "odd", "Even numbers only."),)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("NOT_FOUND", NotFound),
        ("ALREADY_EXISTS", Conflict),
        ("ABORTED", Conflict),
        ("FAILED_PRECONDITION", Stale),
        ("PERMISSION_DENIED", Denied),
        ("UNAUTHENTICATED", Unauthenticated),
        ("OUT_OF_RANGE", Invalid),
        ("UNAVAILABLE", Unavailable),
        ("DEADLINE_EXCEEDED", DeadlineExceeded),
    ],
)
async def test_its_plain_errors_arrive(trials: Any, everything: Any, status: str, kind: type[Refused]) -> None:
    with pytest.raises(kind) as caught:
        await trials.try_everything(everything(string=f"status {status}"))
    assert (caught.value.message, caught.value.reason) == ("No.", caught.value.code.value)


async def test_what_goes_wrong_inside_of_it_stays_there(trials: Any, everything: Any) -> None:
    with pytest.raises(Refused) as caught:
        await trials.try_everything(everything(string="crash"))
    assert (caught.value.code, caught.value.message) == ("internal", "internal error")


async def test_a_method_it_left_out_is_unimplemented(trials: Any) -> None:
    patched = importlib.import_module(f"{PACKAGE}.trial.v1").Patched
    with pytest.raises(Refused) as caught:
        await trials.patch(patched(id="try_01m821mp30er1rnjnb3atkr46z"))
    assert caught.value.code == "unimplemented"


async def test_many_large_messages_pass(trials: Any, everything: Any) -> None:
    text = "x" * 500_000
    replies = await asyncio.gather(*[trials.try_everything(everything(string=text)) for _ in range(20)])
    assert all(reply.string == text for reply in replies)


async def test_it_is_left_out_when_it_says_that_it_is_ill(trial: Contracts, everything: Any, tmp_path: Path) -> None:
    async for address in _worker(tmp_path):
        async for remote in _remote(trial, address):
            trials = client(remote)
            (view,) = await remote.settle(5)
            assert (view.state, view.stranger) == ("ready", True)
            await trials.try_everything(everything(string="ill"))
            async with asyncio.timeout(5):
                while remote.view()[0].state == "ready":  # noqa: ASYNC110 - that is how one notices
                    await asyncio.sleep(0.01)
            assert remote.view()[0].state == "not serving"
            with pytest.raises(Unavailable) as caught:
                await trials.try_everything(everything())
            assert caught.value.reason == "unreachable"


async def test_when_it_is_gone_it_is_unreachable(trial: Contracts, everything: Any, tmp_path: Path) -> None:
    addresses = [address async for address in _worker(tmp_path)]
    async for remote in _remote(trial, addresses[0]):
        with pytest.raises(Unavailable) as caught:
            await client(remote).try_everything(everything())
        assert caught.value.reason == "unreachable"
