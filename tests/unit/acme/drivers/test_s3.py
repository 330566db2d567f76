"""What a bucket answers, and what becomes of it. What it promises as a port is in tests/contract/test_objects.py."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from acme.drivers.s3 import open_objects
from acme.errors import Unavailable
from acme.ports import ObjectExists, ObjectLocked, ObjectStore

ERROR = '<?xml version="1.0"?><Error><Code>{}</Code><Message>no</Message></Error>'


class Scripted(ThreadingHTTPServer):
    """Answers as the test says: status and code of an error for each request, the last one for ever."""

    script: list[tuple[int, str]]
    seen: list[tuple[str, str, dict[str, str]]]


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Scripted
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append((self.command, self.path, {key.lower(): value for key, value in self.headers.items()}))
        status, code = self.server.script.pop(0) if len(self.server.script) > 1 else self.server.script[0]
        body = ERROR.format(code).encode() if code else b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Last-Modified", "Sun, 22 Nov 2026 10:00:00 GMT")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_HEAD = do_DELETE = answer

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripted]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    made = Scripted(("127.0.0.1", 0), Handler)
    made.script, made.seen = [(200, "")], []
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


async def opened(server: Scripted) -> ObjectStore:
    address = f"http://127.0.0.1:{server.server_port}"
    return await open_objects(f"s3://bucket/some/prefix?region=us-east-1&endpoint={address}", timeout=5.0)


async def test_an_object_is_created_on_condition_with_its_checksum_and_its_lock(server: Scripted) -> None:
    store = await opened(server)
    until = datetime.now(UTC) + timedelta(days=1)
    await store.create("a/b", b"x", locked_until=until)
    await store.close()
    [(verb, path, headers)] = server.seen
    assert (verb, path.partition("?")[0]) == ("PUT", "/bucket/some/prefix/a/b")
    assert headers["if-none-match"] == "*"
    assert headers["x-amz-checksum-sha256"] == base64.b64encode(hashlib.sha256(b"x").digest()).decode()
    assert headers["x-amz-object-lock-mode"] == "COMPLIANCE"
    assert headers["x-amz-object-lock-retain-until-date"].startswith(until.strftime("%Y-%m-%dT%H:%M:%S"))


async def test_two_writes_at_once_are_tried_again_and_then_told_apart(server: Scripted) -> None:
    store = await opened(server)
    server.script = [(409, "ConditionalRequestConflict"), (412, "PreconditionFailed")]
    with pytest.raises(ObjectExists):
        await store.create("a", b"x")
    assert len(server.seen) == 2
    server.script = [(409, "ConditionalRequestConflict")]
    with pytest.raises(Unavailable, match="three times"):
        await store.create("a", b"x")
    await store.close()


@pytest.mark.parametrize(("status", "code"), [(403, "AccessDenied"), (404, "NoSuchBucket")])
async def test_what_else_a_bucket_answers_is_unavailable_and_named(server: Scripted, status: int, code: str) -> None:
    store = await opened(server)
    server.script = [(status, code)]
    with pytest.raises(Unavailable, match=code):
        await store.create("a", b"x")
    assert code in store.state
    server.script = [(200, "")]
    await store.create("a", b"x")
    assert store.state == "ok"
    await store.close()


async def test_a_bucket_that_refuses_to_delete_keeps_what_is_locked(server: Scripted) -> None:
    store = await opened(server)
    server.script = [(200, ""), (403, "AccessDenied")]
    with pytest.raises(ObjectLocked):
        await store.delete("a")
    await store.close()
