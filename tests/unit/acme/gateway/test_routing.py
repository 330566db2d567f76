"""Templates, the trie, and what becomes of raw paths and queries."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acme.errors import Malformed
from acme.gateway.routing import Routes, query, segment


@pytest.fixture
def routes() -> Routes[str]:
    made: Routes[str] = Routes()
    for verb, template in (
        ("GET", "/"),
        ("GET", "/v1/projects"),
        ("POST", "/v1/projects"),
        ("GET", "/v1/projects/{id}"),
        ("PATCH", "/v1/projects/{id}"),
        ("POST", "/v1/projects/{id}:archive"),
        ("GET", "/v1/projects/{project_id}/files/{id=*}"),
        ("POST", "/v1/users:verifyEmail"),
        ("GET", "/v1/users/me"),
        ("GET", "/v1/users/{id}"),
        ("GET", "/v1/users/{id}/keys"),
        ("GET", "/.well-known/jwks.json"),
    ):
        made.add(verb, template, f"{verb} {template}")
    return made


def found(routes: Routes[str], verb: str, path: str) -> tuple[str | None, Sequence[str]] | None:
    hit = routes.find(path)
    return None if hit is None else (hit[0].targets.get(verb), list(hit[1]))


@pytest.mark.parametrize(
    ("verb", "path", "template", "values"),
    [
        ("GET", "/", "/", []),
        ("GET", "/v1/projects", "/v1/projects", []),
        ("POST", "/v1/projects", "/v1/projects", []),
        ("GET", "/v1/projects/prj_1", "/v1/projects/{id}", ["prj_1"]),
        ("POST", "/v1/projects/prj_1:archive", "/v1/projects/{id}:archive", ["prj_1"]),
        ("POST", "/v1/projects/a:b:archive", "/v1/projects/{id}:archive", ["a:b"]),
        ("GET", "/v1/projects/a/files/b", "/v1/projects/{project_id}/files/{id=*}", ["a", "b"]),
        ("POST", "/v1/users:verifyEmail", "/v1/users:verifyEmail", []),
        ("GET", "/v1/users/me", "/v1/users/me", []),
        ("GET", "/v1/users/usr_1", "/v1/users/{id}", ["usr_1"]),
        ("GET", "/v1/users/me/keys", "/v1/users/{id}/keys", ["me"]),
        ("GET", "/.well-known/jwks.json", "/.well-known/jwks.json", []),
        ("GET", "/v1/projects/a%2Fb", "/v1/projects/{id}", ["a%2Fb"]),
        ("GET", "/v1/projects/a%3Aarchive", "/v1/projects/{id}", ["a%3Aarchive"]),
    ],
)
def test_a_path_leads_to_its_route(routes: Routes[str], verb: str, path: str, template: str, values: list[str]) -> None:
    assert found(routes, verb, path) == (f"{verb} {template}", values)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "//",
        "/v1",
        "/v1/",
        "/v1/projects/",
        "/v1//projects",
        "//v1/projects",
        "/v1/projects//",
        "/V1/projects",
        "/v1/%70rojects",
        "/v1/projects/a/b",
        "/v1/projects/a:delete",
        "/v1/projects/:archive",
        "/v1/projects:archive",
        "/v1/users:verifyemail",
        "/v1/users:verifyEmail/",
        "/v1/users/me:verifyEmail",
        "/v1/./projects",
        "/v1/x/../projects",
        "/v1\\projects",
        "/v1/projects;a=b",
        "/v1/projects#x",
    ],
)
def test_a_path_that_is_only_like_a_route_leads_nowhere(routes: Routes[str], path: str) -> None:
    assert routes.find(path) is None


def test_a_path_knows_what_it_allows(routes: Routes[str]) -> None:
    hit = routes.find("/v1/projects/prj_1")
    assert hit is not None
    assert hit[0].allow == "GET, HEAD, PATCH"
    hit = routes.find("/v1/projects/prj_1:archive")
    assert hit is not None
    assert hit[0].allow == "POST"


def test_every_path_is_listed_once(routes: Routes[str]) -> None:
    templates = [leaf.template for leaf in routes]
    assert len(templates) == len(set(templates)) == 10


@pytest.mark.parametrize("template", ["/v1/{name=projects/*}", "/v1/{path=**}", "/v1//x", "/v1/a b", "/v1/{}", "/v1/"])
def test_a_template_that_is_not_understood_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match="neither"):
        Routes[str]().add("GET", template, "x")


def test_a_route_is_taken_once(routes: Routes[str]) -> None:
    with pytest.raises(ValueError, match="taken"):
        routes.add("GET", "/v1/projects/{other}", "again")


@pytest.mark.parametrize(
    ("raw", "value"),
    [("prj_1", "prj_1"), ("a%2Fb", "a/b"), ("%C3%A9", "é"), ("a+b", "a+b"), ("%2541", "%41"), ("a:b@c", "a:b@c")],
)
def test_a_segment_is_decoded_once(raw: str, value: str) -> None:
    assert segment(raw) == value


@pytest.mark.parametrize(
    "raw",
    ["%", "%4", "%zz", "a%", "%ff", "%c3%28", "%00", "a%00b", "%0a", "%7f", ".", "..", "%2e%2e", ".%2E", "é", "a b", "\\",
     '"', "<", "\x00", "\udcff", "%ed%a0%80", "|", "a#b"],
)  # fmt: skip  # one line a kind would hide the kinds
def test_a_segment_that_a_path_may_not_hold_is_refused(raw: str) -> None:
    with pytest.raises(Malformed):
        segment(raw)


@pytest.mark.parametrize(
    ("raw", "values"),
    [
        ("", {}),
        ("a=1", {"a": ["1"]}),
        ("a=1&a=2&b=", {"a": ["1", "2"], "b": [""]}),
        ("a", {"a": [""]}),
        ("&&a=1&", {"a": ["1"]}),
        ("a=b=c", {"a": ["b=c"]}),
        ("a=x+y%2Bz", {"a": ["x y+z"]}),
        ("a=%C3%A9", {"a": ["é"]}),
        ("%61=1", {"a": ["1"]}),
    ],
)
def test_a_query_is_read_as_a_form(raw: str, values: dict[str, list[str]]) -> None:
    assert query(raw) == values


@pytest.mark.parametrize("raw", ["a=%", "a=%zz", "a=%ff", "a=%00", "%00=1", "a=é", "a=\udcff", "a=%ed%a0%80"])
def test_a_query_that_cannot_be_read_is_refused(raw: str) -> None:
    with pytest.raises(Malformed):
        query(raw)


@given(st.text(max_size=40))
def test_no_path_breaks_the_trie(path: str) -> None:
    routes: Routes[str] = Routes()
    routes.add("GET", "/{a}", "one")
    routes.add("GET", "/{a}/{b}:x", "two")
    hit = routes.find(path)
    if hit is not None:
        assert all(hit[1])
        for raw in hit[1]:
            with suppress(Malformed):
                assert segment(raw).isprintable()


@given(st.text(max_size=40))
def test_no_query_breaks_the_reader(raw: str) -> None:
    with suppress(Malformed):
        assert all("\0" not in value for values in query(raw).values() for value in values)


def test_a_path_that_is_taken_back_is_none() -> None:
    routes: Routes[str] = Routes()
    for template in ("/", "/docs", "/docs/page", "/docs/{name}"):
        routes.add("GET", template, template)
    for template in ("/", "/docs", "/docs/page"):
        routes.remove(template)
    assert [routes.find(path) for path in ("/", "/docs")] == [None, None]
    assert (found := routes.find("/docs/page")) is not None
    assert found[0].template == "/docs/{name}"
    routes.add("GET", "/docs", "again")
    assert (again := routes.find("/docs")) is not None
    assert again[0].targets == {"GET": "again"}
