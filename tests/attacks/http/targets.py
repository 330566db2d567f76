"""The request target: RFC 9112, section 3.2; RFC 3986; and the tricks with paths that make two readers see two of them.

The gateway matches the raw path, and undoes escapes in values of variables only, once, when the route is settled. So what
is not written as its route is, leads nowhere.
"""

from __future__ import annotations

from typing import Final

from tests.attacks.http.case import ID, TOKEN, Case, declined, refused, section, served

AUTHORIZED: Final = b" HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + TOKEN + b"\r\n\r\n"
PROJECT: Final = b"/v1/projects/" + ID


def nowhere(name: str, target: bytes) -> Case:
    """A path that leads to no route."""
    return declined(name, b"GET " + target + AUTHORIZED, 404, "route_not_found")


def bad_path(name: str, target: bytes) -> Case:
    """A path to a route, with a value that no variable may have."""
    return declined(name, b"GET " + target + AUTHORIZED, 400, "malformed_path")


def unknown(name: str, target: bytes) -> Case:
    """A path to a route, with a value that its contract refuses: it was undone once, and not twice."""
    return declined(name, b"GET " + target + AUTHORIZED, 422, "invalid_argument")


def unreadable(name: str, target: bytes) -> Case:
    """What is no target."""
    return refused(name, b"GET " + target + AUTHORIZED)


def foreign(name: str, target: bytes) -> Case:
    """A target of another kind than there are here."""
    return refused(name, b"GET " + target + AUTHORIZED, 400, "malformed_target")


CASES: Final = [
    *section(
        "9112-3.2",
        [
            served("absolute-form", b"GET http://localhost/healthz" + AUTHORIZED),
            served("absolute-form-of-another-host", b"GET http://elsewhere.example/healthz" + AUTHORIZED),
            served("absolute-form-in-capitals", b"GET HTTP://LOCALHOST/healthz" + AUTHORIZED),
            served("absolute-form-with-a-port", b"GET https://localhost:8443/healthz?a=b" + AUTHORIZED),
            served("absolute-form-of-ipv6", b"GET http://[::1]:80/healthz" + AUTHORIZED),
            Case("absolute-form-runs-its-path", b"GET http://a.example" + PROJECT + AUTHORIZED, 200, "", True, runs=1),
            declined("absolute-form-of-no-route", b"GET http://localhost/nowhere" + AUTHORIZED, 404, "route_not_found"),
            served("absolute-form-with-a-path-in-the-query", b"GET http://localhost?" + PROJECT + AUTHORIZED),
            foreign("a-user-in-the-authority", b"http://user:secret@localhost/healthz"),
            foreign("an-empty-user", b"http://@localhost/healthz"),
            foreign("ftp", b"ftp://localhost/healthz"),
            foreign("javascript", b"javascript://localhost/healthz"),
            foreign("a-websocket", b"ws://localhost/healthz"),
            unreadable("no-authority", b"http:///healthz"),
            unreadable("no-slashes", b"http:localhost/healthz"),
            unreadable("a-port-beyond-65535", b"http://localhost:99999/healthz"),
            unreadable("a-port-of-letters", b"http://localhost:http/healthz"),
            unreadable("a-fragment-in-the-authority", b"http://localhost#/healthz"),
            unreadable("a-backslash-in-the-authority", b"http://localhost\\@elsewhere/healthz"),
            unreadable("authority-form", b"localhost:80"),
            unreadable("a-relative-path", b"healthz"),
            unreadable("a-dot-path", b"./healthz"),
            unreadable("a-query-alone", b"?a=b"),
            unreadable("an-asterisk-with-get", b"*"),
            declined(
                "an-asterisk-with-options",
                b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
                404,
                "route_not_found",
            ),
            refused("an-asterisk-and-more", b"OPTIONS */healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ],
    ),
    *section(
        "3986-paths",
        [
            nowhere("two-slashes-first", b"//healthz"),
            nowhere("two-slashes-first-with-a-host", b"//elsewhere.example/healthz"),
            nowhere("two-slashes-inside", b"/v1//projects"),
            nowhere("a-slash-at-the-end", b"/healthz/"),
            nowhere("a-dot-segment", b"/./healthz"),
            nowhere("a-dot-segment-inside", b"/v1/./projects"),
            nowhere("two-dots", b"/v1/../healthz"),
            nowhere("two-dots-over-the-root", b"/../../healthz"),
            nowhere("two-dots-after-a-variable", PROJECT + b"/../../users/me"),
            bad_path("two-dots-as-a-variable", b"/v1/projects/.."),
            bad_path("a-dot-as-a-variable", b"/v1/projects/."),
            bad_path("escaped-dots-as-a-variable", b"/v1/projects/%2e%2e"),
            bad_path("one-dot-escaped", b"/v1/projects/.%2E"),
            bad_path("an-escaped-dot", b"/v1/projects/%2e"),
            nowhere("escaped-dots-inside", b"/v1/%2e%2e/healthz"),
            nowhere("dots-with-an-escaped-slash", b"/v1/..%2fhealthz"),
            unknown("an-escaped-slash-in-a-variable", b"/v1/projects/..%2f..%2fusers%2fme"),
            unknown("an-escaped-slash-before-a-known-path", PROJECT + b"%2farchive"),
            nowhere("an-escaped-slash-of-a-route", b"/v1%2fprojects"),
            nowhere("an-escaped-letter-of-a-route", b"/%68ealthz"),
            nowhere("an-escaped-letter-escaped-again", b"/%2568ealthz"),
            unknown("dots-escaped-twice", b"/v1/projects/%252e%252e"),
            unknown("a-slash-escaped-twice", b"/v1/projects/%252f"),
            nowhere("a-backslash", b"/healthz\\"),
            nowhere("backslashes-for-slashes", b"\\v1\\projects".replace(b"\\v1", b"/v1")),
            bad_path("a-backslash-in-a-variable", b"/v1/projects/..\\users"),
            unknown("an-escaped-backslash", b"/v1/projects/..%5cusers"),
            nowhere("a-semicolon", b"/healthz;a=b"),
            nowhere("a-semicolon-before-dots", b"/v1/..;/healthz"),
            unknown("a-parameter-of-a-variable", PROJECT + b";admin=true"),
            nowhere("a-fragment", b"/healthz#x"),
            bad_path("a-fragment-in-a-variable", PROJECT + b"#x"),
            bad_path("an-escaped-nul", b"/v1/projects/%00"),
            bad_path("a-nul-at-the-end", PROJECT + b"%00.json"),
            bad_path("an-escaped-line-end", b"/v1/projects/a%0d%0aX-A"),
            bad_path("an-escaped-delete", b"/v1/projects/%7f"),
            bad_path("an-escape-of-one-digit", b"/v1/projects/%2"),
            bad_path("an-escape-of-letters", b"/v1/projects/%zz"),
            bad_path("a-percent-alone", b"/v1/projects/%"),
            bad_path("an-escape-of-ucs-2", b"/v1/projects/%u002e"),
            bad_path("an-overlong-slash", b"/v1/projects/%c0%af"),
            bad_path("overlong-dots", b"/v1/projects/%c0%ae%c0%ae"),
            bad_path("an-overlong-nul", b"/v1/projects/%c0%80"),
            bad_path("a-surrogate", b"/v1/projects/%ed%a0%80"),
            bad_path("a-byte-that-begins-nothing", b"/v1/projects/%ff"),
            bad_path("a-sequence-that-ends-early", b"/v1/projects/%e2%82"),
            bad_path("a-right-to-left-override", b"/v1/projects/%e2%80%ae"),
            unknown("a-fullwidth-slash", b"/v1/projects/%ef%bc%8f"),
            unknown("fullwidth-dots", b"/v1/projects/%ef%bc%8e%ef%bc%8e"),
            nowhere("another-case", b"/V1/projects"),
            nowhere("a-custom-verb-escaped", PROJECT + b"/%3aarchive"),
            unknown("a-custom-verb-behind-an-escape", PROJECT + b"%3aarchive"),
            declined("a-custom-verb-with-get", b"GET " + PROJECT + b":archive" + AUTHORIZED, 405, "method_not_allowed"),
            nowhere("a-custom-verb-nobody-has", PROJECT + b":destroy"),
            unreadable("letters-beyond-ascii", "/v1/projects/é".encode()),
            unreadable("a-latin-1-letter", b"/v1/projects/\xe9"),
            unreadable("a-raw-tab", b"/v1/projects/\t"),
            unreadable("a-raw-delete", b"/v1/projects/\x7f"),
        ],
    ),
    *section(
        "3986-query",
        [
            served("a-question-mark-more", b"GET /healthz?a?b" + AUTHORIZED),
            served("a-path-in-the-query", b"GET /healthz?/../v1/projects" + AUTHORIZED),
            declined("a-broken-escape", b"GET /v1/projects?page_size=%zz" + AUTHORIZED, 400, "malformed_query"),
            declined("an-overlong-escape", b"GET /v1/projects?page_size=%c0%b1" + AUTHORIZED, 400, "malformed_query"),
            declined("an-escaped-nul", b"GET /v1/projects?page_size=1%00" + AUTHORIZED, 400, "malformed_query"),
            declined(
                "an-escaped-question-mark", b"GET /v1/projects%3Fpage_size=1" + AUTHORIZED, 404, "route_not_found"
            ),
            declined(
                "a-value-twice", b"GET /v1/projects?page_size=1&page_size=2" + AUTHORIZED, 422, "invalid_argument"
            ),
            declined("an-unknown-name", b"GET /v1/projects?admin=true" + AUTHORIZED, 422, "invalid_argument"),
            unreadable("a-raw-form-feed", b"/healthz?\x0c"),
            unreadable("a-bare-nul", b"/healthz?\0"),
        ],
    ),
]
