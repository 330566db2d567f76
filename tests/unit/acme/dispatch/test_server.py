"""What a server makes of requests of any make, and how it comes and goes."""

from __future__ import annotations

import asyncio
import secrets
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from grpclib.client import Channel
from grpclib.const import Cardinality, Status
from grpclib.encoding.base import CodecBase
from grpclib.exceptions import GRPCError
from grpclib.health.v1.health_grpc import HealthStub
from grpclib.health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from acme import current
from acme.context import ANONYMOUS, Call
from acme.contracts.authority.v1 import AuthorityStub, ChangesReply, ChangesRequest
from acme.contracts.projects.v1 import CreateProjectRequest, GetProjectRequest, Project, ProjectsStub
from acme.contracts.users.v1 import CreateUserReply, CreateUserRequest, UsersStub
from acme.dispatch import Host, Server
from acme.dispatch.serve import MESSAGE_LIMIT
from acme.errors import DeadlineExceeded, Unauthenticated, Unavailable
from tests.certificates import DAY, Authority
from tests.services import ANN, CONTRACTS, PROJECT, Projects, Stage, Users
from tests.services import Authority as AuthorityService
from tests.unit.acme.dispatch.town import AUTHORITY, PROJECTS, TOKEN, Town, Worker, asking, nobody, soon, until
from tests.waiting import BUSY

GET = GetProjectRequest(id=PROJECT)
ASK = ChangesRequest(since=1)
BEARER = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture(autouse=True)
def _asking() -> Iterator[None]:
    with asking():
        yield


class Plain(CodecBase):
    """Carries bytes through grpclib's client."""

    __content_subtype__ = "proto"

    def encode(self, message: bytes, message_type: object) -> bytes:
        return message

    def decode(self, data: bytes, message_type: object) -> bytes:
        return data


class Outsider:
    """A client of another make: grpclib's own."""

    def __init__(self, worker: Worker) -> None:
        path = worker.address.removeprefix("grpc+unix://")
        self.channel = Channel(path=path, codec=Plain())
        self.standard = Channel(path=path)

    async def ask(
        self, path: str, message: bytes | None, metadata: dict[str, str] | None = None, timeout: float | None = 5
    ) -> bytes | None:
        request = self.channel.request(
            path, Cardinality.STREAM_UNARY, bytes, bytes, timeout=timeout, metadata=metadata or {}
        )
        async with request as stream:
            await stream.send_request()
            if message is not None:
                await stream.send_message(message)
            await stream.end()
            return await stream.recv_message()

    async def fails(self, path: str, message: bytes | None, metadata: dict[str, str] | None = None) -> GRPCError:
        with pytest.raises(GRPCError) as caught:
            await self.ask(path, message, metadata)
        return caught.value

    def close(self) -> None:
        self.channel.close()
        self.standard.close()


@pytest.fixture
async def worker(town: Town) -> Worker:
    return await town.worker()


@pytest.fixture
def outsider(worker: Worker) -> Iterator[Outsider]:
    made = Outsider(worker)
    yield made
    made.close()


# ---- outsiders -------------------------------------------------------------------------------------------------------

GET_PATH, CHANGES = "/acme.projects.v1.Projects/GetProject", "/acme.authority.v1.Authority/Changes"


async def test_an_outsider_with_a_token_is_that_user_and_no_service(worker: Worker, outsider: Outsider) -> None:
    seen: list[Call] = []

    async def script(message: GetProjectRequest) -> Project:
        seen.append(current())
        current().decided = True
        return Project(id=message.id)

    worker.projects.script = script
    said = {"x-request-id": "mine", "acme-service": "gateway", "acme-address": "1.2.3.4", "acme-principal": "service",
            "acme-idempotency-key": "k", "acme-idempotency-fingerprint": "AA==", "traceparent": "00-mine"}  # fmt: skip
    reply = await outsider.ask(GET_PATH, bytes(GET), {**BEARER, **said})
    assert Project.parse(reply or b"").id == PROJECT
    (call,) = seen
    assert (call.principal, call.credentials) == (ANN, TOKEN)
    assert (call.service, call.address, call.traceparent, call.idempotency) == ("", "", "", None)
    assert call.request_id != "mine"
    assert call.deadline <= time.monotonic() + 5


async def test_an_outsider_without_a_token_is_nobody(outsider: Outsider) -> None:
    for said in ({}, {"acme-service": "gateway", "acme-principal": "service"}):
        assert (await outsider.fails(GET_PATH, bytes(GET), said)).status is Status.UNAUTHENTICATED


@pytest.mark.parametrize(
    "metadata", [{}, {"acme-service": "tokens"}, {"acme-service": "tokens", "acme-identity": "AAAA"}]
)
async def test_internal_methods_are_closed_to_outsiders(outsider: Outsider, metadata: dict[str, str]) -> None:
    assert (await outsider.fails(CHANGES, bytes(ASK), metadata)).status is Status.PERMISSION_DENIED


async def test_what_a_stranger_says_it_knows_is_not_looked_for(town: Town, outsider: Outsider) -> None:
    await outsider.fails(GET_PATH, bytes(GET), {"authorization": "Bearer other", "acme-seen": "99"})
    assert town.tokens.caught_up == []


async def test_a_token_that_proves_nothing_is_refused_and_one_that_cannot_be_checked_is_not(
    town: Town, worker: Worker, outsider: Outsider
) -> None:
    caught = await outsider.fails(GET_PATH, bytes(GET), {"authorization": "Bearer other"})
    assert (caught.status, caught.message) == (Status.UNAUTHENTICATED, "No.")
    town.tokens.fresh = False
    client = town.client(ProjectsStub, town.remote(worker.address), "gateway")
    with pytest.raises(Unavailable) as refused:
        await client.get_project(GET)
    assert refused.value.reason == "tokens_unavailable"


@pytest.mark.parametrize(
    ("path", "message", "status"),
    [
        ("/nobody.v1.Knows/This", b"", Status.UNIMPLEMENTED),
        ("/acme.projects.v1.Projects/Nothing", b"", Status.UNAVAILABLE),
        ("/acme.users.v1.Users/GetMe", b"", Status.UNAVAILABLE),  # a contract that is known and not served here
        ("/", b"", Status.UNIMPLEMENTED),
        (GET_PATH, None, Status.INVALID_ARGUMENT),
        (GET_PATH, b"\xff\xff", Status.INVALID_ARGUMENT),
        (GET_PATH, b"x" * (MESSAGE_LIMIT + 1), Status.RESOURCE_EXHAUSTED),
        ("/grpc.health.v1.Health/Check", b"\xff\xff", Status.INVALID_ARGUMENT),
    ],
)
async def test_what_is_wrong_is_answered_with_a_status(
    worker: Worker, outsider: Outsider, path: str, message: bytes | None, status: Status
) -> None:
    assert (await outsider.fails(path, message, BEARER)).status is status
    assert (await outsider.fails("/nobody.v1.Knows/This", b"")).status is Status.UNIMPLEMENTED  # it lives
    await until(lambda: worker.server.in_flight == 0)


async def test_what_is_not_grpc_is_refused(worker: Worker) -> None:
    reader, writer = await asyncio.open_unix_connection(worker.address.removeprefix("grpc+unix://"))
    writer.write(b"GET / HTTP/1.1\r\nHost: acme\r\n\r\n")
    async with asyncio.timeout(5):
        await reader.read()  # to its end
    writer.close()


# ---- deadlines and cancellation --------------------------------------------------------------------------------------


async def test_a_server_keeps_deadlines_by_itself(town: Town, worker: Worker) -> None:
    """Whatever becomes of the caller: this one waits on."""
    ended = asyncio.Event()

    async def script(message: ChangesRequest) -> ChangesReply:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    worker.authority.script = script
    remote = town.remote(worker.address)
    call = Call(CHANGES[1:], ANONYMOUS, "req_1", time.monotonic() + 0.5, "tokens")
    method = next(one for one in AUTHORITY.methods if one.path == CHANGES)
    with pytest.raises(DeadlineExceeded):
        await remote.call(AUTHORITY, method, call, bytes(ASK), ChangesReply.parse)
    assert ended.is_set()
    assert time.monotonic() < call.deadline + BUSY


async def test_cancelling_the_caller_ends_the_statement_in_the_worker(stage: Stage, town: Town, tmp_path: Path) -> None:
    projects = Projects()
    server = Server(town.pipeline, town.cipher, town.tokens, town.metrics, town.tasks)
    server.host(Host(PROJECTS, projects, "projects", stage.units))
    address = await server.start(f"grpc+unix://{tmp_path}/sql.sock")

    async def script(message: object) -> Project:
        await stage.units.database.fetchval("SELECT pg_sleep(4711)")
        raise AssertionError

    async def running() -> int:
        count: int = await stage.value(
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep(4711)%'"
            " AND pid <> pg_backend_pid()"
        )
        return count

    projects.script = script
    client = town.client(ProjectsStub, town.remote(address), "gateway")
    for request in (client.get_project(GET), client.create_project(CreateProjectRequest(name="one"))):
        call = soon(request)
        async with asyncio.timeout(5):
            while not await running():  # noqa: ASYNC110 - nobody announces it
                await asyncio.sleep(0.01)
        call.cancel()
        async with asyncio.timeout(5):
            while await running():  # noqa: ASYNC110 - nobody announces it
                await asyncio.sleep(0.005)
        assert call.cancelled()
    await server.close()


async def test_a_caller_that_dies_leaves_no_work_behind(town: Town, worker: Worker) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def script(message: ChangesRequest) -> ChangesReply:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    worker.authority.script = script
    remote = town.remote(worker.address)
    call = soon(town.client(AuthorityStub, remote).changes(ASK))
    await asyncio.wait_for(begun.wait(), 5)
    await remote.close()
    await asyncio.wait_for(ended.wait(), 5)
    with pytest.raises(Unavailable):
        await call
    await until(lambda: worker.server.in_flight == 0)


# ---- health ----------------------------------------------------------------------------------------------------------


async def test_health_is_told_to_anybody(town: Town, worker: Worker, outsider: Outsider) -> None:
    health = HealthStub(outsider.standard)

    async def check(service: str = "") -> int:
        return (await health.Check(HealthCheckRequest(service=service))).status

    assert await check() == await check(AUTHORITY.name) == HealthCheckResponse.SERVING
    with pytest.raises(GRPCError) as caught:
        await check("nobody")
    assert caught.value.status is Status.NOT_FOUND
    worker.server.withdraw(AUTHORITY)
    assert await check(AUTHORITY.name) == HealthCheckResponse.NOT_SERVING
    town.tokens.fresh = False
    assert await check() == HealthCheckResponse.NOT_SERVING


async def test_health_can_be_watched(worker: Worker, outsider: Outsider) -> None:
    async with asyncio.timeout(5), HealthStub(outsider.standard).Watch.open() as stream:
        await stream.send_message(HealthCheckRequest(service=AUTHORITY.name), end=True)
        first = await stream.recv_message()
        assert first is not None
        assert first.status == HealthCheckResponse.SERVING
        worker.server.withdraw(AUTHORITY)
        second = await stream.recv_message()
        assert second is not None
        assert second.status == HealthCheckResponse.NOT_SERVING
        await stream.cancel()
    await until(lambda: worker.server.in_flight == 0)


# ---- coming and going ------------------------------------------------------------------------------------------------


async def test_a_service_is_served_once(worker: Worker) -> None:
    with pytest.raises(ValueError, match="is kept by users"):
        worker.server.host(Host(AUTHORITY, AuthorityService(), "other"))
    assert set(worker.server.hosts) == {AUTHORITY.name, PROJECTS.name}


async def test_public_methods_take_anybody(town: Town, tmp_path: Path) -> None:
    users = Users()

    async def script(message: CreateUserRequest) -> CreateUserReply:
        assert current().principal == ANONYMOUS
        return CreateUserReply()

    users.script = script
    server = Server(town.pipeline, town.cipher, None, town.metrics, town.tasks)
    server.host(Host(CONTRACTS.service_of(users), users, "users"))
    remote = town.remote(await server.start(f"grpc+unix://{tmp_path}/users.sock"))
    with nobody():
        request = CreateUserRequest(email="ann@example.com", password="correct horse battery", display_name="Ann")
        await town.client(UsersStub, remote, "gateway").create_user(request)
    with pytest.raises(Unavailable):  # without a verifier no token is believed
        await town.client(UsersStub, remote, "gateway").create_user(request)
    await server.close()


async def test_draining_gives_up_after_its_grace(town: Town, worker: Worker) -> None:
    begun = asyncio.Event()

    async def script(message: ChangesRequest) -> ChangesReply:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    worker.authority.script = script
    call = soon(town.client(AuthorityStub, town.remote(worker.address)).changes(ASK))
    await asyncio.wait_for(begun.wait(), 5)
    started = time.monotonic()
    await worker.server.drain(0.1)
    assert 0.1 <= time.monotonic() - started < BUSY
    assert worker.server.in_flight == 1
    await worker.server.close()
    with pytest.raises(Unavailable):
        await call


@pytest.mark.parametrize("listen", ["grpcs://127.0.0.1:0", "grpc://127.0.0.1", "nonsense"])
async def test_a_server_does_not_listen_at_what_is_no_address(town: Town, listen: str) -> None:
    server = Server(town.pipeline, town.cipher, None, town.metrics, town.tasks)
    with pytest.raises(ValueError, match=r"grpc"):
        await server.start(listen)


async def test_every_interface_is_called_by_one_that_can_be(town: Town) -> None:
    server = Server(town.pipeline, town.cipher, None, town.metrics, town.tasks)
    assert (await server.start("grpc://0.0.0.0:0")).startswith("grpc://127.0.0.1:")
    await server.close()


# ---- TLS -------------------------------------------------------------------------------------------------------------


def context(issuer: Authority, folder: Path, name: str, *, server: bool, **more: Any) -> ssl.SSLContext:
    """A certificate for `name`, as a context for one end; `believes` is whose certificates it takes, if not the issuer's."""
    believes = more.pop("believes", issuer)
    paths = issuer.issue(folder / f"{name}-{secrets.token_hex(4)}", name, **more)
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    made.verify_mode = ssl.CERT_REQUIRED
    made.load_cert_chain(paths["certificate"], paths["key"])
    made.load_verify_locations(cadata=believes.pem.decode())
    return made


async def test_both_ends_show_certificates(town: Town, tmp_path: Path) -> None:
    ours, others = Authority(), Authority("Somebody else")
    worker = await town.worker("grpcs://127.0.0.1:0", tls=context(ours, tmp_path, "projects", server=True))
    expired = await town.worker(
        "grpcs://127.0.0.1:0", tls=context(ours, tmp_path, "projects", server=True, begins=-2 * DAY, ends=-DAY)
    )
    gateway = context(ours, tmp_path, "gateway", server=False)

    async def outcome(address: str, tls: ssl.SSLContext, peer: str = "projects") -> str:
        remote = town.remote(address, tls=tls, peer=peer)
        try:
            return str((await town.client(AuthorityStub, remote).changes(ASK)).latest)
        except Unavailable as refusal:
            return f"{refusal.reason}: {remote.view()[0].why}"

    assert await outcome(worker.address, gateway) == "1"
    assert (await outcome(worker.address, gateway, "users")).startswith("unreachable: [SSL: CERTIFICATE_VERIFY_FAILED]")
    assert (await outcome(expired.address, gateway)).startswith("unreachable: [SSL: CERTIFICATE_VERIFY_FAILED]")
    stranger = context(others, tmp_path, "gateway", server=False, believes=ours)
    assert (await outcome(worker.address, stranger)).startswith("unreachable")
    naive = context(ours, tmp_path, "gateway", server=False, believes=others)
    assert (await outcome(worker.address, naive)).startswith("unreachable: [SSL: CERTIFICATE_VERIFY_FAILED]")
    assert await outcome(worker.address, gateway) == "1"


async def test_a_refusal_of_a_token_reaches_the_user(town: Town, worker: Worker) -> None:
    client = town.client(ProjectsStub, town.remote(worker.address), "gateway")
    with asking(token="somebody else's"), pytest.raises(Unauthenticated) as caught:
        await client.get_project(GET)
    assert caught.value.reason == "invalid_token"
