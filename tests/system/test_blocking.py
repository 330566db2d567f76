"""A plugin that blocks the event loop of its worker: it is named there, and the others live."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from acme.cli import scaffold
from acme.testing import Server
from tests.system.deployment import Deployment, Process, create, deployment, free_port, join, services
from tests.system.running import call, path_with, wait_for

NAME = "gadgets"
METHOD = "gadgets.v1.Gadgets/GetGadget"
BLOCK = '        __import__("time").sleep(1.0)\n'
LINE = '        """Raises `NotFound` for one that is not the caller\'s."""\n'
SOMEBODYS = "gadget_01h455vb4pex5vsknk084sn02q"


@pytest.fixture
def parts(tmp_path: Path, postgres: Server) -> Iterator[Deployment]:
    with deployment(tmp_path / "parts", postgres) as one:
        yield one


def install(folder: Path) -> tuple[dict[str, str], Path, int]:
    """A plugin one of whose methods blocks, where processes with this environment find it; file and line of the block."""
    made = scaffold.create(NAME, folder)
    file = made / NAME / "service.py"
    text = file.read_text()
    assert text.count(LINE) == 1
    file.write_text(text.replace(LINE, LINE + BLOCK))
    metadata = made / f"{NAME}-0.1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 0.1.0\n")
    (metadata / "entry_points.txt").write_text(f"[acme.plugins]\n{NAME} = {NAME}:plugin\n")
    return path_with(made), file, file.read_text().splitlines().index(BLOCK.rstrip("\n")) + 1


def monitor(port: int) -> dict[str, str]:
    return {"ACME_MONITOR__LISTEN": f"127.0.0.1:{port}"}


def told(process: Process) -> dict[str, object]:
    """What the worker logs of the method that blocked."""
    lines = [json.loads(line) for line in process.log().splitlines() if '"event loop blocked"' in line]
    return next((line for line in lines if line["method"]), {})


async def test_a_method_that_blocks_its_worker_is_named_there_and_the_others_live(
    parts: Deployment, postgres: Server, tmp_path: Path
) -> None:
    environ, file, line = await asyncio.to_thread(install, tmp_path)
    async with postgres.database() as database:
        parts.environ |= environ | {f"ACME_DATABASE__URLS__{NAME.upper()}": postgres.url(database)}
        await asyncio.to_thread(_blocked, parts, file, line)
        parts.close()


def _blocked(parts: Deployment, file: Path, line: int) -> None:
    gadgets, both = f"grpc://127.0.0.1:{free_port()}", f"grpc://127.0.0.1:{free_port()}"
    at = free_port()
    elsewhere = {**services(users=both, projects=both), **monitor(at)}
    worker = parts.begin(NAME, "--only", NAME, "--listen", gadgets, environ=elsewhere)
    options = ("--gateway", "--only", "users,projects", "--port", "0", "--listen", both)
    gateway = parts.start("gateway", *options, environ=services(gadgets=gadgets))
    worker.wait_until_ready()
    person = join(gateway.api, "blocked@example.com")
    path = f"/v1/gadgets/{SOMEBODYS}"
    with ThreadPoolExecutor() as threads:
        slow = threads.submit(call, gateway.api, "GET", path, token=person.token)
        wait_for("the block", lambda: told(worker))
        assert not slow.done()
        assert create(gateway.api, person, "Meanwhile").status == 201
        assert not slow.done()
        assert slow.result().status == 404
    blocked = told(worker)
    assert (blocked["plugin"], blocked["method"]) == (NAME, METHOD)
    assert (blocked["file"], blocked["line"]) == (str(file), line)
    # For a moment nobody calls a worker that stood still.
    wait_for("the worker", lambda: call(gateway.api, "GET", "/v1/gadgets", token=person.token).status == 200)
    assert worker.ready["metrics"] == f"http://127.0.0.1:{at}/metrics"
    metrics = call(f"http://127.0.0.1:{at}", "GET", "/metrics").body.decode()
    assert f'acme_event_loop_stalls_total{{method="{METHOD}",plugin="{NAME}"}} 1.0' in metrics
    assert re.search(rf'rpc_server_call_duration_seconds_count{{rpc_method="{METHOD}"', metrics)
    assert call(f"http://127.0.0.1:{at}", "GET", "/livez").status == 200
    assert call(f"http://127.0.0.1:{at}", "GET", "/readyz").json["ready"] is True


def test_a_port_for_operators_that_is_taken_stops_the_start(parts: Deployment) -> None:
    at = free_port()
    options = ("--gateway", "--only", "users,projects", "--port", "0", "--listen", "grpc://127.0.0.1:0")
    first = parts.start("first", *options, environ=monitor(at))
    assert call(f"http://127.0.0.1:{at}", "GET", "/readyz").status == 200
    ended = parts.run(*options, environ=monitor(at))
    assert (ended.returncode, ended.stderr) == (1, f"acme: [monitor] listen: port {at} of 127.0.0.1 is in use\n")
    assert call(first.api, "GET", "/readyz").status == 200


def test_a_worker_without_the_authority_is_alive_and_not_ready(parts: Deployment) -> None:
    at = free_port()
    nowhere = services(users=f"grpc://127.0.0.1:{free_port()}")
    worker = parts.begin(
        "projects", "--only", "projects", "--listen", "grpc://127.0.0.1:0", environ=nowhere | monitor(at)
    )
    wait_for("the first answer", lambda: _status(at, "/livez") == 200, limit=30)
    assert _status(at, "/readyz") == 503
    worker.wait_until_ready()
    readiness = call(f"http://127.0.0.1:{at}", "GET", "/readyz")
    assert (readiness.status, readiness.json["checks"]["tokens"]) == (503, "revocations are not known")
    assert readiness.json["plugins"] == {"projects": "ok", "users": "unreachable"}


def _status(port: int, path: str) -> int:
    try:
        return call(f"http://127.0.0.1:{port}", "GET", path).status
    except OSError:
        return 0
