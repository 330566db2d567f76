"""Bad input over HTTP: each gets a clear problem, nothing of ours shows, and the same request works once corrected."""

from __future__ import annotations

import re
import socket
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.system.running import SHOWS_OUR_INSIDE, Person, Platform, Reply, check_problem, platform

GOOD = {"name": "Good", "description": "", "labels": {"state": "draft"}}


@dataclass(frozen=True)
class Bad:
    """One bad request, and what it was meant to be."""

    what: str
    status: int
    code: str
    body: object = None
    verb: str = "POST"
    path: str = "/v1/projects"
    headers: dict[str, str] = field(default_factory=dict)
    pointer: str = ""
    """Where a fault has to point, of those that are told."""
    corrected: object = None
    corrected_path: str = ""
    corrected_headers: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.what


def raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def body(what: str, content: object, status: int = 422, code: str = "invalid_argument", pointer: str = "") -> Bad:
    """A bad body of POST /v1/projects."""
    return Bad(what, status, code, content, pointer=pointer, corrected=GOOD)


def query(what: str, text: str, status: int = 422, code: str = "invalid_argument", pointer: str = "") -> Bad:
    """A bad query of GET /v1/projects."""
    return Bad(
        what, status, code, verb="GET", path=f"/v1/projects?{text}", pointer=pointer, corrected_path="/v1/projects"
    )


def path(what: str, text: str, status: int, code: str, pointer: str = "") -> Bad:
    """A bad path of a GET."""
    return Bad(what, status, code, verb="GET", path=text, pointer=pointer, corrected_path="/v1/projects/{project}")


def precondition(what: str, value: str) -> Bad:
    return Bad(
        what,
        412,
        "version_mismatch",
        {"name": "Later"},
        "PATCH",
        "/v1/projects/{project}",
        {"If-Match": value},
        corrected={"name": "Later"},
        corrected_headers={"If-Match": "{etag}"},
    )


def header(what: str, name: str, value: str, status: int, code: str) -> Bad:
    """A good body of POST /v1/projects under a bad header."""
    return Bad(what, status, code, GOOD, headers={name: value}, corrected=GOOD)


NAME = "a" * 101
BAD = [
    body("malformed JSON", b'{"name": "Good"', 400, "malformed_json"),
    body("two values", b'{"name": "Good"} {}', 400, "malformed_json"),
    body("bytes that are no UTF-8", b'{"name": "\xff\xfe"}', 400, "malformed_json"),
    body("a NUL byte", b'{"name": "a\x00b"}', 400, "malformed_json"),
    body("an empty body", b"", 400, "empty_body"),
    body("white space", b"  \n", 400, "malformed_json"),
    body("an array", [GOOD]),
    body("a string", '"Good"'),
    body("null", b"null"),
    body("a number for a string", {"name": 5}, pointer="/name"),
    body("an object for a string", {"name": {}}, pointer="/name"),
    body("a string for a map", {"name": "Good", "labels": "red"}, pointer="/labels"),
    body("a number in a map of strings", {"name": "Good", "labels": {"size": 1}}, pointer="/labels/size"),
    body("an unknown field", {**GOOD, "colour": "red"}, pointer="/colour"),
    body("a field that only we set", {**GOOD, "owner_id": "usr_01h455vb4pex5vsknk084sn02q"}, pointer="/owner_id"),
    body("a duplicate key", b'{"name": "Good", "name": "Better"}', pointer="/name"),
    body("a duplicate key in a map", b'{"name": "Good", "labels": {"a": "1", "a": "2"}}', pointer="/labels/a"),
    body("NaN", b'{"name": NaN}'),
    body("Infinity", b'{"name": -Infinity}'),
    body("an array 65 deep", raw('{"name": ' + "[" * 65 + "]" * 65 + "}")),
    body("an array 100,000 deep", raw('{"name": ' + "[" * 100_000 + "]" * 100_000 + "}")),
    body("an object 1,000 deep", raw('{"labels": ' + '{"a": ' * 1000 + "1" + "}" * 1001)),
    body("a name left out", {"description": "Good"}, pointer="/name"),
    body("an empty name", {"name": ""}, pointer="/name"),
    body("a name that is too long", {"name": NAME}, pointer="/name"),
    body("a description that is too long", {"name": "Good", "description": "a" * 2001}, pointer="/description"),
    body("too many labels", {"name": "Good", "labels": {f"l{n}": "" for n in range(65)}}, pointer="/labels"),
    body("a label's key that breaks the pattern", {"name": "Good", "labels": {"A b": ""}}),
    body("a line feed in a line", {"name": "Good\nBad"}, pointer="/name"),
    body("an escaped NUL", {"name": "Go\0od"}, pointer="/name"),
    body("an escaped NUL in text", {"name": "Good", "description": "Go\0od"}, pointer="/description"),
    body("a lone surrogate", b'{"name": "\\ud83d"}'),
    body("a lone surrogate in a key", b'{"name": "Good", "labels": {"\\udc00": "x"}}'),
    body("a surrogate in raw bytes", raw('{"name": "\ud83d"}'), 400, "malformed_json"),
    body("a huge number", b'{"name": ' + b"9" * 5000 + b"}"),
    body("a huge exponent", b'{"name": 1e999999}'),
    body("a malformed organisation", {"name": "Good", "organization_id": "org_1"}, pointer="/organization_id"),
    body("an id of another type", {"name": "Good", "organization_id": "{project}"}, pointer="/organization_id"),
    body("somebody else's organisation", {"name": "Good", "organization_id": "{foreign organization}"}, 404, "not_found"),
    query("a page size that is no number", "page_size=many", pointer="?page_size"),
    query("a negative page size", "page_size=-1", pointer="?page_size"),
    query("a page size beyond 32 bits", "page_size=2147483648", pointer="?page_size"),
    query("a huge page size", "page_size=" + "9" * 400, pointer="?page_size"),
    query("a page size given twice", "page_size=1&page_size=2", pointer="?page_size"),
    query("an unknown parameter", "sort=name", pointer="?sort"),
    query("a page token that is too long", "page_token=" + "a" * 2000, pointer="?page_token"),
    query("a made-up page token", "page_token=bm90IGEgdG9rZW4", 400, "invalid_page_token"),
    query("a page token that is no base64", "page_token=%21%21", 400, "invalid_page_token"),
    query("an altered page token", "page_token={altered page token}", 400, "invalid_page_token"),
    query("somebody else's page token", "page_token={foreign page token}", 400, "invalid_page_token"),
    path("an id that is none", "/v1/projects/1", 422, "invalid_argument", "{id}"),
    path("an id of another kind", "/v1/projects/usr_01h455vb4pex5vsknk084sn02q", 422, "invalid_argument", "{id}"),
    path("an id with SQL in it", "/v1/projects/prj_'%20OR%201=1--", 422, "invalid_argument", "{id}"),
    path("an id with NUL in it", "/v1/projects/prj_%00", 400, "malformed_path"),
    path("an id that is too long", "/v1/projects/prj_" + "0" * 3000, 422, "invalid_argument", "{id}"),
    path("a project that does not exist", "/v1/projects/prj_01h455vb4pex5vsknk084sn02q", 404, "not_found"),
    path("somebody else's project", "/v1/projects/{foreign project}", 404, "not_found"),
    path("a route that does not exist", "/v1/projekts", 404, "route_not_found"),
    path("a path that climbs", "/v1/projects/../../etc/passwd", 404, "route_not_found"),
    path("a version that does not exist", "/v2/projects", 404, "route_not_found"),
    path("an empty id", "/v1/projects/", 404, "route_not_found"),
    precondition("a stale ETag", '"999"'),
    precondition("an ETag that is none", "latest"),
    precondition("a weak ETag", 'W/"1"'),
    precondition("a huge ETag", f'"{"9" * 40}"'),
    Bad(
        "a method the path has not", 405, "method_not_allowed", GOOD, "PUT", "/v1/projects/{project}",
        corrected=GOOD,
    ),
    header("text instead of JSON", "Content-Type", "text/plain", 415, "unsupported_media_type"),
    header("a form", "Content-Type", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
    header("another encoding", "Content-Encoding", "gzip", 415, "unsupported_encoding"),
    header("a timeout that is no number", "X-Request-Timeout", "soon", 400, "malformed_timeout"),
    header("an idempotency key with a space", "Idempotency-Key", "a b", 400, "malformed_idempotency_key"),
    header("an idempotency key that is too long", "Idempotency-Key", "a" * 256, 400, "malformed_idempotency_key"),
    Bad("more than a megabyte", 413, "too_large", raw('{"name": "' + "a" * (1 << 20) + '"}'), corrected=GOOD),
    Bad("a password that is too short", 422, "invalid_argument",
        {"email": "short@example.com", "password": "fourteen chars", "display_name": "Short"}, path="/v1/users",
        pointer="/password",
        corrected={"email": "short@example.com", "password": "fifteen of them", "display_name": "Short"}),
    Bad("an address that is none", 422, "invalid_argument",
        {"email": "nobody", "password": "correct horse battery", "display_name": "No"}, path="/v1/users", pointer="/email",
        corrected={"email": "somebody@example.com", "password": "correct horse battery", "display_name": "No"}),
    Bad("a mail token nobody sent", 422, "token_invalid",
        {"token": "made up"}, path="/v1/users:verifyEmail"),
    Bad("a wrong password", 401, "", {"email": "ada@example.com", "password": "incorrect horse battery"},
        path="/v1/sessions", corrected={"email": "ada@example.com", "password": "correct horse battery staple"}),
    Bad("a made-up refresh token", 401, "", {"refresh_token": "made up"}, path="/v1/sessions:refresh"),
]  # fmt: skip


@dataclass
class Scene:
    """Two people with a project each, and what a request may name of them."""

    one: Platform
    ada: Person
    names: dict[str, str]

    def send(self, verb: str, path: str, content: object, headers: dict[str, str], token: str | None = None) -> Reply:
        return self.one.call(
            verb,
            self.fill(path),
            self.fill(content),
            headers={name: self.fill(value) for name, value in headers.items()},
            token=self.ada.token if token is None else token,
        )

    def fill(self, value: Any) -> Any:
        """Puts the scene's names in the place of `{name}`."""
        if isinstance(value, str):
            return re.sub(r"\{([a-z][a-z ]+)\}", lambda found: self.names.get(found[1], found[0]), value)
        if isinstance(value, dict):
            return {key: self.fill(item) for key, item in value.items()}
        return value


@pytest.fixture(scope="module")
def scene(running: Platform) -> Scene:
    ada, bob = running.join("ada@example.com"), running.join("bob@example.com")
    mine, foreign = running.project(ada, "Mine"), running.project(bob, "Foreign")
    for _ in range(2):
        running.project(ada, "Mine too")
        running.project(bob, "Foreign too")
    own_page = running.call("GET", "/v1/projects?page_size=1", token=ada.token).json["next_page_token"]
    foreign_page = running.call("GET", "/v1/projects?page_size=1", token=bob.token).json["next_page_token"]
    assert own_page
    names = {
        "project": mine["id"],
        "foreign project": foreign["id"],
        "foreign organization": foreign["organization_id"],
        "foreign page token": foreign_page,
        "altered page token": own_page[:-6] + ("A" if own_page[-6] != "A" else "B") + own_page[-5:],
    }
    return Scene(running, ada, names)


@pytest.mark.parametrize("bad", BAD, ids=str)
def test_a_bad_request_gets_a_clear_problem_and_works_once_corrected(scene: Scene, bad: Bad) -> None:
    problem = check_problem(scene.send(bad.verb, bad.path, bad.body, bad.headers), bad.status, bad.code)
    if bad.pointer:
        assert bad.pointer in [fault["pointer"] for fault in problem["errors"]]
    if bad.status == 405:
        allow = scene.send(bad.verb, bad.path, bad.body, bad.headers).headers["Allow"]
        assert set(allow.split(", ")) >= {"GET", "PATCH"}
    if bad.corrected is None and not bad.corrected_path:
        return
    project = scene.one.call("GET", f"/v1/projects/{scene.names['project']}", token=scene.ada.token)
    scene.names["etag"] = project.headers["ETag"]
    verb = "PATCH" if bad.status == 405 else bad.verb
    path = bad.corrected_path or bad.path
    corrected = scene.send(verb, path, bad.corrected, bad.corrected_headers)
    assert corrected.status in (200, 201, 202), corrected.body


def test_bad_requests_have_lost_nothing(scene: Scene) -> None:
    kept = scene.one.call("GET", f"/v1/projects/{scene.names['project']}", token=scene.ada.token)
    assert kept.status == 200
    foreign = scene.one.log_in("bob@example.com")
    listed = scene.one.call("GET", "/v1/projects", token=foreign.token).json["projects"]
    assert [project["name"] for project in listed] == ["Foreign too", "Foreign too", "Foreign"]
    assert "Traceback" not in scene.one.log()
    assert scene.one.call("GET", "/readyz").status == 200


def test_an_idempotency_key_belongs_to_one_body(scene: Scene) -> None:
    key = {"Idempotency-Key": "one-body"}
    first = scene.send("POST", "/v1/projects", GOOD, key)
    again = scene.send("POST", "/v1/projects", GOOD, key)
    assert (first.status, first.body) == (again.status, again.body)
    assert first.status == 201
    check_problem(scene.send("POST", "/v1/projects", {"name": "Other"}, key), 422, "idempotency_key_reused")
    assert scene.send("POST", "/v1/projects", {"name": "Other"}, {"Idempotency-Key": "another"}).status == 201


def test_a_slow_body_is_given_up(tmp_path: Path) -> None:
    with platform(tmp_path / "platform", environ={"ACME_GATEWAY__BODY_TIMEOUT": "0.3"}) as one:
        person = one.join("slow@example.com")
        head = (
            f"POST /v1/projects HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {person.token}\r\n"
            "Content-Type: application/json\r\nContent-Length: 16\r\n\r\n"
        )
        answer, seconds = exchange(one, head.encode() + b'{"name":')
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'"code":"slow_body"' in answer
        assert 0.25 < seconds < 5
        quick, _ = exchange(
            one, head.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").encode() + b'{"name": "Quick"}'[:16]
        )
        assert quick.startswith(b"HTTP/1.1 400 ")
        assert one.project(person, "Quick")["name"] == "Quick"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GARBAGE\r\n\r\n", b"400"),
        (b"GET / HTTP/9.9\r\nHost: x\r\n\r\n", b"400"),
        (b"GET /healthz HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /healthz HTTP/1.1\r\nHost: a b\r\n\r\n", b"400"),
        (
            b"POST /v1/users HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"400",
        ),
        (b"POST /v1/users HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 100_000 + b"\r\n\r\n", b"431"),
    ],
    ids=["garbage", "no such version", "no host", "no valid host", "two lengths", "a negative length", "a long header"],
)
def test_what_is_not_http_is_refused_without_a_word_of_ours(scene: Scene, sent: bytes, status: bytes) -> None:
    answer, _ = exchange(scene.one, sent)
    assert answer.split(b" ", 2)[1] == status
    assert not SHOWS_OUR_INSIDE.search(answer.decode())
    assert scene.one.call("GET", "/healthz").status == 200


def test_a_chunked_body_that_never_ends_is_refused_at_the_limit(scene: Scene) -> None:
    head = (
        f"POST /v1/projects HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {scene.ada.token}\r\n"
        "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    answer, _ = exchange(scene.one, head.encode() + chunk * 20)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"code":"too_large"' in answer


def exchange(one: Platform, sent: bytes) -> tuple[bytes, float]:
    """Sends bytes, and returns what comes back until the platform closes or has answered, and the seconds it took."""
    host, _, port = one.api.removeprefix("http://").partition(":")
    start = time.monotonic()
    with closing(socket.create_connection((host, int(port)), timeout=10)) as connection:
        connection.sendall(sent)
        answer = b""
        while b"\r\n\r\n" not in answer and (received := connection.recv(65536)):
            answer += received
        head, _, rest = answer.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.I)
        while length and len(rest) < int(length[1]) and (received := connection.recv(65536)):
            rest += received
    return head + b"\r\n\r\n" + rest, time.monotonic() - start
