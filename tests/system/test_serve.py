"""`acme serve`: a platform put together from processes, and what each says when it cannot be one of them."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from grpclib.client import Channel
from grpclib.exceptions import GRPCError
from grpclib.health.v1.health_grpc import HealthStub
from grpclib.health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from acme.testing import Server
from tests.system.deployment import Deployment, Process, create, deployment, free_port, join, services
from tests.system.running import call, check_problem, wait_for
from tests.system.test_split import living
from tests.unit.acme.cli.command import Command, ending

SERVING = HealthCheckResponse.SERVING
NOT_SERVING = HealthCheckResponse.NOT_SERVING


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory, postgres: Server) -> Iterator[Deployment]:
    with deployment(tmp_path_factory.mktemp("parts"), postgres, migrate=False) as one:  # by all three at once
        yield one


@pytest.fixture
def own(tmp_path: Path, postgres: Server) -> Iterator[Deployment]:
    """A platform for one test."""
    with deployment(tmp_path / "own", postgres) as one:
        yield one


def three(one: Deployment) -> tuple[Process, Process, Process]:
    """Gateway, users and projects, over TCP."""
    users, projects = f"grpc://127.0.0.1:{free_port()}", f"grpc://localhost:{free_port()}"
    started = (
        one.begin("gateway", "--gateway", "--port", "0", environ=services(users=users, projects=projects)),
        one.begin("users", "--only", "users", "--listen", users, environ=services(projects=projects)),
        one.begin("projects", "--only", "projects", "--listen", projects, environ=services(users=users)),
    )
    for process in started:
        process.wait_until_ready()
    return started


@pytest.fixture(scope="module")
def trio(parts: Deployment) -> tuple[Process, Process, Process]:
    """The same for several tests; the last of them ends one."""
    return three(parts)


async def health(process: Process, service: str = "") -> int:
    """What the standard health service says."""
    where = urlsplit(process.listen)
    channel = Channel(where.hostname, where.port)
    try:
        reply = await HealthStub(channel).Check(HealthCheckRequest(service=service), timeout=5)
    finally:
        channel.close()
    return int(reply.status)


async def until_health(process: Process, wanted: int) -> None:
    async with asyncio.timeout(10):
        while await health(process) != wanted:  # noqa: ASYNC110 - another process has no event we could await
            await asyncio.sleep(0.05)


async def test_processes_find_each_other_whoever_starts_first(trio: tuple[Process, Process, Process]) -> None:
    gateway, users, projects = trio
    person = await asyncio.to_thread(join, gateway.api, "parts@example.com")
    made = await asyncio.to_thread(create, gateway.api, person, "Parts", "once")
    assert made.status == 201
    assert (await asyncio.to_thread(create, gateway.api, person, "Parts", "once")).json == made.json
    assert call(gateway.api, "GET", "/readyz").json["plugins"] == {"users": "ok", "projects": "ok"}
    assert (users.ready["mode"], gateway.ready["mode"]) == ("external", "none")
    assert await health(users) == await health(projects) == SERVING
    assert await health(projects, "acme.projects.v1.Projects") == SERVING
    with pytest.raises(GRPCError, match="NOT_FOUND"):
        await health(projects, "acme.users.v1.Users")


async def test_gateway_and_a_plugin_can_share_a_process(own: Deployment) -> None:
    both, projects = f"grpc://127.0.0.1:{free_port()}", f"grpc://127.0.0.1:{free_port()}"
    options = ("--gateway", "--only", "users", "--port", "0", "--listen", both)
    gateway = own.begin("both", *options, environ=services(projects=projects))
    own.start("projects", "--only", "projects", "--listen", projects, environ=services(users=both))
    gateway.wait_until_ready()
    person = join(gateway.api, "both@example.com")
    assert create(gateway.api, person, "Both").status == 201


async def test_a_gateway_gives_notice_before_it_takes_no_more(
    parts: Deployment, trio: tuple[Process, Process, Process]
) -> None:
    gateway, users, projects = trio
    environ = services(users=users.listen, projects=projects.listen) | {"ACME_GATEWAY__NOTICE": "4.0"}
    second = await asyncio.to_thread(parts.start, "second", "--gateway", "--port", "0", environ=environ)
    second.running.send_signal(signal.SIGTERM)
    await asyncio.to_thread(wait_for, "not ready", lambda: call(second.api, "GET", "/readyz").status == 503, limit=3.5)
    assert call(second.api, "GET", "/healthz").headers["Connection"] == "close"
    assert await asyncio.to_thread(second.wait) == 0
    assert call(gateway.api, "GET", "/readyz").status == 200


async def test_without_the_authority_a_process_is_not_ready_and_recovers(
    parts: Deployment, trio: tuple[Process, Process, Process]
) -> None:
    gateway, users, projects = trio
    person = await asyncio.to_thread(join, gateway.api, "authority@example.com")
    users.kill()
    await asyncio.to_thread(wait_for, "not ready", lambda: call(gateway.api, "GET", "/readyz").status == 503)
    check_problem(call(gateway.api, "GET", "/v1/projects", token=person.token), 503)
    await until_health(projects, NOT_SERVING)
    parts.start("again", "--only", "users", "--listen", users.listen, environ=services(projects=projects.listen))
    await asyncio.to_thread(wait_for, "ready", lambda: call(gateway.api, "GET", "/readyz").status == 200)
    await until_health(projects, SERVING)
    assert call(gateway.api, "GET", "/v1/projects", token=person.token).status == 200


async def test_a_worker_that_is_told_to_end_finishes_its_calls_first(
    parts: Deployment, trio: tuple[Process, Process, Process]
) -> None:
    gateway, _, projects = trio
    person = await asyncio.to_thread(join, gateway.api, "drain@example.com")
    made = await asyncio.to_thread(create, gateway.api, person, "Before")
    path = f"/v1/projects/{made.json['id']}"
    blocker = await asyncpg.connect(parts.environ["ACME_DATABASE__URLS__PROJECTS"])
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with ThreadPoolExecutor() as threads:
        try:
            async with asyncio.timeout(30), blocker.transaction():
                await blocker.execute("SELECT FROM projects WHERE id = $1 FOR UPDATE", made.json["id"])
                request = threads.submit(call, gateway.api, "PATCH", path, {"name": "After"}, token=person.token)
                while not await blocker.fetchval(waiting):  # noqa: ASYNC110 - PostgreSQL has no event for it
                    await asyncio.sleep(0.01)
                projects.running.send_signal(signal.SIGTERM)
                await asyncio.to_thread(wait_for, "the drain", lambda: '"stopping"' in projects.log())
                assert not request.done()
                assert living(projects.running.pid)
        finally:
            await blocker.close()
        reply = await asyncio.wrap_future(request)
    assert (reply.status, reply.json["name"]) == (200, "After")
    assert projects.wait() == 0
    check_problem(await asyncio.to_thread(call, gateway.api, "GET", path, token=person.token), 503)
    readiness = await asyncio.to_thread(call, gateway.api, "GET", "/readyz")
    assert (readiness.status, readiness.json["plugins"]["projects"]) == (200, "unreachable")
    assert "Traceback" not in projects.log() + gateway.log()


ELSEWHERE = {"users": "grpc://127.0.0.1:9", "projects": "grpc://127.0.0.1:9"}


@pytest.mark.parametrize(
    ("options", "environ", "told"),
    [
        ((), {}, ["--gateway", "--only"]),
        (
            ("--only", "users"),
            services(**ELSEWHERE),
            ["services.users", "hosted in this process and has an address", 'ACME_SERVICES__USERS=""'],
        ),
        (
            ("--gateway",),
            services(users="grpc://127.0.0.1:9"),
            ["services.projects", "neither hosted in this process nor has an address", "--only projects", "disabled"],
        ),
        (("--only", "user"), services(**ELSEWHERE), ["--only user", "no such plugin is installed", "Did you mean users?"]),
        (("--gateway",), services(**ELSEWHERE, wether="grpc://a:1"), ["services wether", "no such plugin is installed"]),
        (("--gateway",), services(users="http://a:1", projects="grpc://a:1"), ["services.users", "grpc://host:port"]),
        (
            ("--only", "users,projects"),
            {"ACME_DATABASE__URL": "embedded:", "ACME_DATABASE__URLS__USERS": ""},
            ["database.url", "embedded:", "PostgreSQL", "one process", "postgresql://user@host"],
        ),
        (
            ("--only", "users,projects"),
            {"ACME_PLATFORM__PUBLIC_URL": ""},
            ["platform.public_url", "links in mails", "https://acme.example"],
        ),
        (("--gateway",), services(users="grpcs://a:1", projects="grpc://a:1"), ["users: a grpcs:", "[mtls]"]),
        (("--only", "users,projects", "--listen", "grpcs://127.0.0.1:0"), {}, ["worker.listen", "[mtls]"]),
        (("--only", "users,projects", "--listen", "127.0.0.1:0"), {}, ["worker.listen"]),
        (("--gateway",), {**services(**ELSEWHERE), "ACME_SECRETS__MASTER_KEY": ""}, ["master key", "share one"]),
    ],
    ids=[
        "nothing to run", "both", "neither", "unknown plugin", "address of an unknown plugin", "no address", "embedded",
        "no public URL", "grpcs without certificates", "listening without certificates", "no listening address", "no key",
    ],
)  # fmt: skip
def test_a_process_that_does_not_fit_says_what_to_do(
    parts: Deployment,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    environ: dict[str, str],
    told: list[str],
) -> None:
    """In this process: none gets as far as to start anything, and each took half a second of a core to load the platform."""
    acme = Command(parts.folder, monkeypatch, capsys).within(parts.surroundings(environ))
    with ending(60.0):
        ended = acme("serve", "--json", *options)
    assert ended.code in (1, 2)
    assert [word for word in told if word not in ended.err] == []
    assert "Traceback" not in ended.err


def test_a_busy_address_is_told(parts: Deployment, trio: tuple[Process, Process, Process]) -> None:
    taken = trio[1].listen
    ended = parts.run("--only", "users,projects", "--listen", taken)
    assert ended.returncode == 1
    assert taken in ended.stderr
    assert "in use" in ended.stderr
