"""Header fields: RFC 9112, section 5; RFC 9110, sections 5 and 6.6; names that only look like others."""

from __future__ import annotations

from typing import Final

from tests.attacks.http.case import GET, ID, TOKEN, Case, declined, refused, section, served

ASKED: Final = b"GET /v1/projects/" + ID + b" HTTP/1.1\r\nHost: localhost\r\n"


def field(name: str, line: bytes) -> Case:
    """A line that is no header."""
    return refused(name, GET + line + b"\r\n\r\n")


def alias(name: str, line: bytes) -> Case:
    """A name that only looks like a header's."""
    return refused(name, GET + line + b"\r\n\r\n", 400, "malformed_header")


def taken(name: str, line: bytes) -> Case:
    """A line that is as it should be."""
    return served(name, GET + line + b"\r\n\r\n")


CASES: Final = [
    *section(
        "9112-5",
        [
            field("no-colon", b"X-A"),
            field("no-name", b": b"),
            field("a-blank-for-a-name", b" : b"),
            field("a-space-before-the-colon", b"X-A : b"),
            field("a-tab-before-the-colon", b"X-A\t: b"),
            field("a-space-inside-the-name", b"X A: b"),
            field("folded-by-a-space", b"X-A: b\r\n c"),
            field("folded-by-a-tab", b"X-A: b\r\n\tc"),
            field("folded-by-a-blank-line", b"X-A: b\r\n \r\nX-B: c"),
            field("folded-over-a-length", b"X-A: b\r\n Content-Length: 5"),
            field("a-bare-lf-between", b"X-A: b\nX-B: c"),
            field("a-bare-cr-between", b"X-A: b\rX-B: c"),
            field("a-cr-at-the-end-of-a-value", b"X-A: b\r"),
            field("lf-cr-between", b"X-A: b\n\rX-B: c"),
            field("a-request-inside", b"X-A: b\n\nGET /healthz HTTP/1.1\nHost: localhost"),
            field("an-equals-sign-for-a-colon", b"X-A=b"),
            field("a-fullwidth-colon", "X-A： b".encode()),
            taken("no-blank", b"X-A:b"),
            taken("no-value", b"X-A:"),
            taken("blanks-around", b"X-A: \t b \t "),
            taken("colons-inside", b"X-A: b:c::d"),
            taken("bytes-beyond-ascii-in-a-value", b"X-A: \xe9\xff"),
            taken("a-tab-inside-a-value", b"X-A: b\tc"),
        ],
    ),
    *section(
        "9110-5.5",
        [
            field("a-nul-in-a-value", b"X-A: b\0c"),
            field("a-nul-at-the-end", b"X-A: b\0"),
            field("a-vertical-tab", b"X-A: b\x0bc"),
            field("a-form-feed", b"X-A: b\x0cc"),
            field("a-backspace", b"X-A: b\x08c"),
            field("an-escape", b"X-A: b\x1b[31mc"),
            field("a-delete", b"X-A: b\x7fc"),
            field("a-control-at-the-beginning", b"X-A:\x01b"),
        ],
    ),
    *section(
        "9110-5.1",
        [
            field("a-nul-in-a-name", b"X\0A: b"),
            field("a-bracket", b"X(A): b"),
            field("a-quote", b'"X-A": b'),
            field("a-slash", b"X/A: b"),
            field("an-at-sign", b"X@A: b"),
            field("letters-beyond-ascii", "X-É: b".encode()),
            field("a-kelvin-sign", "Content-Length\u212a: 5".encode()),
            field("a-soft-hyphen", "Content\u00adLength: 5".encode()),
            alias("an-underscore", b"X_A: b"),
            alias("a-dot", b"X.A: b"),
            alias("an-underscore-first", b"_Host: b"),
            alias("a-length-with-an-underscore", b"Content_Length: 5"),
            alias("a-coding-with-an-underscore", b"Transfer_Encoding: chunked"),
            alias("a-coding-with-a-dot", b"Transfer.Encoding: chunked"),
            alias("forwarded-with-underscores", b"X_Forwarded_For: 192.0.2.1"),
            alias("forwarded-with-dots", b"X.Forwarded.For: 192.0.2.1"),
            alias("forwarded-with-both", b"X-Forwarded_For: 192.0.2.1"),
            alias("a-token-with-an-underscore", b"Authorization_: Bearer x"),
            alias("an-apostrophe", b"X'A: b"),
            alias("a-dollar", b"$WSAT: b"),
            alias("a-hash", b"#X: b"),
            alias("a-percent", b"X%2DA: b"),
            alias("a-star", b"X*: b"),
            alias("a-plus", b"X+A: b"),
            alias("a-caret", b"X^A: b"),
            alias("a-backquote", b"X`A: b"),
            alias("a-bar", b"X|A: b"),
            alias("a-tilde", b"X~A: b"),
            alias("an-exclamation-mark", b"X!A: b"),
            alias("an-ampersand", b"X&A: b"),
            taken("capitals", b"X-LONG-NAME: b"),
            taken("digits", b"1-2-3: b"),
            taken("dashes", b"---: b"),
        ],
    ),
    *section(
        "9110-5.3",
        [
            field("two-content-types", b"Content-Type: application/json\r\nContent-Type: text/plain"),
            declined(
                "two-tokens",
                ASKED + b"Authorization: Bearer " + TOKEN + b"\r\nAuthorization: Bearer x\r\n\r\n",
                400,
                "malformed_request",
            ),
            declined(
                "two-tokens-the-good-one-last",
                ASKED + b"Authorization: Bearer x\r\nauthorization: Bearer " + TOKEN + b"\r\n\r\n",
                400,
                "malformed_request",
            ),
            declined("a-token-in-a-list", ASKED + b"Authorization: Bearer x, Bearer y\r\n\r\n", 401, "invalid_token"),
            declined(
                "a-token-of-another-scheme",
                ASKED + b"Authorization: Basic " + TOKEN + b"\r\n\r\n",
                401,
                "token_missing",
            ),
            declined(
                "a-token-in-the-query",
                ASKED.replace(ID, ID + b"?access_token=" + TOKEN) + b"\r\n",
                401,
                "token_missing",
            ),
            declined(
                "a-token-in-a-cookie", ASKED + b"Cookie: access_token=" + TOKEN + b"\r\n\r\n", 401, "token_missing"
            ),
            declined(
                "a-token-for-proxies",
                ASKED + b"Proxy-Authorization: Bearer " + TOKEN + b"\r\n\r\n",
                401,
                "token_missing",
            ),
            declined("an-empty-token", ASKED + b"Authorization:\r\n\r\n", 401, "token_missing"),
            declined("a-scheme-alone", ASKED + b"Authorization: Bearer\r\n\r\n", 401, "token_missing"),
            Case(
                "names-in-any-letters",
                ASKED.replace(b"Host", b"hOsT") + b"aUtHoRiZaTiOn: bEaReR " + TOKEN + b"\r\n\r\n",
                200,
                "",
                True,
                runs=1,
            ),
        ],
    ),
    *section(
        "9110-6.6",
        [
            taken("a-date-that-is-none", b"Date: yesterday"),
            taken("an-id-that-ends-its-line", b"X-Request-Id: a%0d%0aSet-Cookie: b"),
            taken("markup-for-an-id", b"X-Request-Id: <script>"),
            taken("a-trace-that-is-none", b"traceparent: 00-xyz"),
        ],
    ),
    *section(
        "size",
        [
            refused(
                "a-target-beyond-8190-bytes",
                b"GET /" + b"a" * 8200 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
                414,
                "uri_too_long",
            ),
            refused(
                "a-query-beyond-8190-bytes",
                b"GET /healthz?" + b"a" * 8200 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
                414,
                "uri_too_long",
            ),
            refused("a-value-beyond-8190-bytes", GET + b"X-A: " + b"a" * 8200 + b"\r\n\r\n", 431, "header_too_large"),
            refused("a-name-beyond-8190-bytes", GET + b"a" * 8200 + b": b\r\n\r\n", 431, "header_too_large"),
            refused("headers-beyond-100", GET + b"".join(b"X-%d: a\r\n" % n for n in range(100)) + b"\r\n"),
            served("99-headers-more", GET + b"".join(b"X-%d: a\r\n" % n for n in range(99)) + b"\r\n"),
            Case(
                "a-head-beyond-64-kib",
                GET + b"".join(b"X-%d: %b\r\n" % (n, b"a" * 6500) for n in range(11))[:65_600],
                431,
                "header_too_large",
                stays=False,
                ends=True,
            ),
            served(
                "a-head-of-nearly-64-kib",
                GET + b"".join(b"X-%d: %b\r\n" % (n, b"a" * 6500) for n in range(10)) + b"\r\n",
            ),
            served("a-target-of-8000-bytes", b"GET /healthz?" + b"a" * 8000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ],
    ),
]
