"""What the parser lets through and the gateway does not. The cases over the wire are in tests/attacks/http."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp.http import HttpVersion, HttpVersion10, HttpVersion11
from multidict import CIMultiDict, CIMultiDictProxy

from acme.gateway.problems import Rejected
from acme.gateway.strict import Strict, hosted, path


class Message(SimpleNamespace):
    """What the parser made of a head."""

    def _replace(self, **changed: Any) -> Message:
        return Message(**{**self.__dict__, **changed})


def request(*pairs: tuple[str, str], has_body: bool = False, version: HttpVersion = HttpVersion11, **given: Any) -> Any:
    headers = CIMultiDictProxy(CIMultiDict([("Host", "localhost"), *pairs]))
    told = {"method": "GET", "path": "/", "chunked": False, "should_close": False, **given}
    return SimpleNamespace(message=Message(version=version, headers=headers, **told), has_body=has_body)


def refused(asked: Any, strict: Strict | None = None) -> tuple[int, str]:
    with pytest.raises(Rejected) as caught:
        (strict or Strict()).check(asked)
    assert asked.message.should_close
    return caught.value.status, caught.value.reason


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "a-b.example", "127.0.0.1:1", "[::1]:80", "[::1]"])
def test_a_host_is_a_name_with_a_port(host: str) -> None:
    assert hosted(host)


@pytest.mark.parametrize(
    "host", ["", "a b", "a,b", "a/b", "user@a", "a:b", "a:", "[::1", "é", "a:123456", "a:65536", "a\\b"]
)
def test_what_is_no_host_is_refused(host: str) -> None:
    asked = request()
    asked.message.headers = CIMultiDictProxy(CIMultiDict({"Host": host}))
    assert refused(asked) == (400, "malformed_host")


def test_what_never_ends_fills_no_memory() -> None:
    strict = Strict()
    for number in range(5000):
        asked = request((f"X-{number}", ""))
        asked.message.headers = CIMultiDictProxy(CIMultiDict({"Host": f"h{number}", f"X-{number}": ""}))
        strict.check(asked)
    assert len(strict._hosts) <= 1000
    assert len(strict._plain) <= 1000


@pytest.mark.parametrize("version", [HttpVersion(0, 9), HttpVersion(2, 0)])
def test_other_versions_of_http_are_refused(version: HttpVersion) -> None:
    assert refused(request(version=version)) == (505, "http_version_not_supported")


def test_http_1_0_needs_no_host() -> None:
    asked = request(version=HttpVersion10)
    asked.message.headers = CIMultiDictProxy(CIMultiDict[str]())
    Strict().check(asked)


@pytest.mark.parametrize("name", ["X_Forwarded_For", "X.Forwarded.For", "X!", "X-é", "Content_Length"])
def test_a_name_that_only_looks_like_a_header_is_refused_every_time(name: str) -> None:
    strict = Strict()
    strict.check(request(("X-Forwarded-For", "a")))
    for _ in range(2):
        assert refused(request((name, "a")), strict) == (400, "malformed_header")


def test_a_length_without_a_body_is_none() -> None:
    strict = Strict()
    strict.check(request(("Content-Length", "5"), has_body=True))
    strict.check(request(("Content-Length", "0")))
    assert refused(request(("Content-Length", "18446744073709551615")), strict) == (400, "malformed_request")


@pytest.mark.parametrize(
    ("coding", "answer"),
    [
        ("gzip, chunked", (501, "unsupported_coding")),
        ("identity, chunked", (501, "unsupported_coding")),
        ("", (400, "malformed_request")),
        (", chunked", (400, "malformed_request")),
        ("chunked, chunked", (400, "malformed_request")),
    ],
)
def test_no_coding_but_chunked_is_undone(coding: str, answer: tuple[int, str]) -> None:
    strict = Strict()
    for good in ("chunked", "CHUNKED"):
        strict.check(request(("Transfer-Encoding", good), has_body=True, chunked=True))
    assert refused(request(("Transfer-Encoding", coding), has_body=True, chunked=True), strict) == answer


def test_nothing_is_expected_but_the_word_to_go_on() -> None:
    strict = Strict()
    strict.check(request(("Expect", "100-Continue"), has_body=True))
    for expected in ([("Expect", "200-ok")], [("Expect", "100-continue"), ("Expect", "100-continue")]):
        assert refused(request(*expected, has_body=True), strict) == (417, "expectation_failed")


def test_an_upgrade_ends_the_connection_and_the_request_is_served() -> None:
    asked = request(("Upgrade", "h2c"))
    Strict().check(asked)
    assert asked.message.should_close


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("http://a.example/v1/x?y=1", "/v1/x?y=1"),
        ("HTTPS://a.example:8443/v1", "/v1"),
        ("http://a.example", "/"),
        ("http://a.example?/v1/projects", "/?/v1/projects"),
        ("*", "*"),
    ],
)
def test_a_proxys_target_is_a_path_with_its_query(target: str, found: str) -> None:
    assert path(request(path=target)) == found


@pytest.mark.parametrize(
    "target",
    ["ftp://a/v1", "http://u:p@a/v1", "javascript://a/v1", "http:///v1", "http://a:99999/", "http://a#/v1", "v1"],
)
def test_another_target_is_refused(target: str) -> None:
    asked = request(path=target)
    with pytest.raises(Rejected, match="path"):
        path(asked)
    assert asked.message.should_close


def test_a_tunnel_is_refused() -> None:
    with pytest.raises(Rejected) as caught:
        path(request(method="CONNECT", path="localhost:80"))
    assert caught.value.status == 501
