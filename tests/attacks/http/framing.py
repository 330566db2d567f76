"""Where a request ends: RFC 9112, section 6. Whoever answers this differently than the server in front is smuggled into."""

from __future__ import annotations

from typing import Final

from tests.attacks.http.case import BODY, GET, POST, Case, declined, last, refused, section, served, unread

CHUNKS: Final = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
OLD: Final = POST.replace(b"HTTP/1.1", b"HTTP/1.0")
CODED: Final = POST + b"Transfer-Encoding: chunked\r\n"


def length(name: str, lines: bytes) -> Case:
    """A Content-Length that is none."""
    return refused(name, POST + lines + b"\r\n\r\n" + BODY)


def coding(name: str, lines: bytes, status: int = 400, code: str = "malformed_request") -> Case:
    """A Transfer-Encoding that is none."""
    return refused(name, POST + lines + b"\r\n\r\n" + CHUNKS, status, code)


CASES: Final = [
    *section(
        "9112-6.2",
        [
            served("a-length", POST + b"Content-Length: 37\r\n\r\n" + BODY, 201, runs=1),
            served("a-length-with-blanks", POST + b"Content-Length:\t37 \r\n\r\n" + BODY, 201, runs=1),
            served("a-length-with-zeros-first", POST + b"Content-Length: 000037\r\n\r\n" + BODY, 201, runs=1),
            declined("no-length-and-no-body", POST + b"\r\n", 400, "empty_body"),
            declined("a-length-of-zero", POST + b"Content-Length: 0\r\n\r\n", 400, "empty_body"),
            declined("a-length-of-many-zeros", POST + b"Content-Length: 0000\r\n\r\n", 400, "empty_body"),
            declined("a-length-that-is-short", POST + b"Content-Length: 36\r\n\r\n" + BODY[:-1], 400, "malformed_json"),
            unread("a-body-with-get", GET + b"Content-Length: 5\r\n\r\nhello"),
            unread("a-request-as-a-body", GET + b"Content-Length: 36\r\n\r\nGET /nowhere HTTP/1.1\r\nHost: local\r\n"),
            length("two-lengths", b"Content-Length: 37\r\nContent-Length: 38"),
            length("two-lengths-alike", b"Content-Length: 37\r\nContent-Length: 37"),
            length("two-lengths-in-other-letters", b"Content-Length: 37\r\ncontent-length: 0"),
            length("two-lengths-far-apart", b"Content-Length: 37\r\nX-A: b\r\nContent-Length: 37"),
            length("a-list-of-lengths", b"Content-Length: 37, 37"),
            length("a-list-of-different-lengths", b"Content-Length: 37, 0"),
            length("a-comma-at-the-end", b"Content-Length: 37,"),
            length("an-empty-length", b"Content-Length:"),
            length("a-plus", b"Content-Length: +37"),
            length("a-minus", b"Content-Length: -37"),
            length("minus-zero", b"Content-Length: -0"),
            length("hexadecimal", b"Content-Length: 0x25"),
            length("letters-of-hexadecimal", b"Content-Length: 2f"),
            length("octal", b"Content-Length: 0o45"),
            length("an-exponent", b"Content-Length: 37e0"),
            length("a-fraction", b"Content-Length: 37.0"),
            length("an-underscore", b"Content-Length: 3_7"),
            length("a-space-inside", b"Content-Length: 3 7"),
            length("a-vertical-tab-before", b"Content-Length: \x0b37"),
            length("a-form-feed-after", b"Content-Length: 37\x0c"),
            length("a-nul-after", b"Content-Length: 37\0"),
            length("quotes", b'Content-Length: "37"'),
            length("a-semicolon", b"Content-Length: 37;x"),
            length("arabic-digits", "Content-Length: ٣٧".encode()),
            length("fullwidth-digits", "Content-Length: ３７".encode()),
            length("a-superscript", "Content-Length: 3\u00b2".encode()),
            length("words", b"Content-Length: many"),
            length("folded", b"Content-Length:\r\n 37"),
            length("2-to-the-64", b"Content-Length: 18446744073709551616"),
            length("2-to-the-64-and-37", b"Content-Length: 18446744073709551653"),
            length("2-to-the-64-less-1", b"Content-Length: 18446744073709551615"),
            length("100-digits", b"Content-Length: " + b"9" * 100),
            length("a-blank-before-the-colon", b"Content-Length : 37"),
            Case(
                "2-to-the-63",
                POST + b"Content-Length: 9223372036854775808\r\n\r\n" + BODY,
                413,
                "too_large",
                stays=False,
            ),
            Case(
                "more-than-a-body-may-have",
                POST + b"Content-Length: 1048577\r\n\r\n" + BODY,
                413,
                "too_large",
                stays=False,
            ),
        ],
    ),
    *section(
        "9112-6.1",
        [
            refused("both", CODED + b"Content-Length: 37\r\n\r\n" + CHUNKS),
            refused(
                "both-the-other-way-round", POST + b"Content-Length: 37\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS
            ),
            refused(
                "both-with-a-length-of-zero", POST + b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS
            ),
            refused("both-with-an-unknown-coding", POST + b"Content-Length: 37\r\nTransfer-Encoding: x\r\n\r\n" + BODY),
            refused("both-with-identity", POST + b"Transfer-Encoding: identity\r\nContent-Length: 37\r\n\r\n" + BODY),
            refused("both-with-an-empty-coding", POST + b"Transfer-Encoding:\r\nContent-Length: 37\r\n\r\n" + BODY),
            refused("both-with-get", GET + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            refused(
                "both-with-an-alias",
                POST + b"Content-Length: 37\r\nTransfer_Encoding: chunked\r\n\r\n" + BODY,
                400,
                "malformed_header",
            ),
            refused(
                "both-with-a-blank-before-the-colon",
                POST + b"Content-Length: 37\r\nTransfer-Encoding : chunked\r\n\r\n" + BODY,
            ),
            served("chunked", CODED + b"\r\n" + CHUNKS, 201, runs=1),
            served("chunked-in-capitals", POST + b"TRANSFER-ENCODING: CHUNKED\r\n\r\n" + CHUNKS, 201, runs=1),
            served("chunked-with-blanks", POST + b"Transfer-Encoding:\t chunked  \r\n\r\n" + CHUNKS, 201, runs=1),
            unread("chunked-with-get", GET + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            coding("a-tab-after", b"Transfer-Encoding: chunked\t"),
            coding("two-lines", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
            coding("two-lines-of-two", b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked"),
            coding("chunked-twice", b"Transfer-Encoding: chunked, chunked"),
            coding("chunked-before-identity", b"Transfer-Encoding: chunked, identity"),
            coding("chunked-before-gzip", b"Transfer-Encoding: chunked, gzip"),
            coding("identity", b"Transfer-Encoding: identity"),
            coding("identity-before-chunked", b"Transfer-Encoding: identity, chunked", 501, "unsupported_coding"),
            coding("gzip-before-chunked", b"Transfer-Encoding: gzip, chunked", 501, "unsupported_coding"),
            coding("deflate-before-chunked", b"Transfer-Encoding: deflate,chunked", 501, "unsupported_coding"),
            coding("gzip-alone", b"Transfer-Encoding: gzip"),
            coding("empty", b"Transfer-Encoding:"),
            coding("a-comma-first", b"Transfer-Encoding: , chunked"),
            coding("a-comma-last", b"Transfer-Encoding: chunked,"),
            coding("a-letter-before", b"Transfer-Encoding: xchunked"),
            coding("a-letter-after", b"Transfer-Encoding: chunkedx"),
            coding("a-space-inside", b"Transfer-Encoding: chu nked"),
            coding("two-words", b"Transfer-Encoding: x chunked"),
            coding("quotes", b'Transfer-Encoding: "chunked"'),
            coding("single-quotes", b"Transfer-Encoding: 'chunked'"),
            coding("a-parameter", b"Transfer-Encoding: chunked;q=1"),
            coding("a-vertical-tab-before", b"Transfer-Encoding: \x0bchunked"),
            coding("a-vertical-tab-after", b"Transfer-Encoding: chunked\x0b"),
            coding("a-nul-after", b"Transfer-Encoding: chunked\0"),
            coding("a-cr-after", b"Transfer-Encoding: chunked\r"),
            coding("folded", b"Transfer-Encoding:\r\n chunked"),
            coding("folded-to-two", b"Transfer-Encoding: chunked\r\n ,identity"),
            coding("a-blank-before-the-colon", b"Transfer-Encoding : chunked"),
            coding("a-line-before-with-a-lf", b"X-A: b\nTransfer-Encoding: chunked"),
            coding("letters-beyond-ascii", "Transfer-Encoding: c\u212aunked".encode()),
            coding("a-long-s", "Tran\u017ffer-Encoding: chunked".encode()),
            refused("http-1.0", OLD + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKS),
            refused(
                "http-1.0-kept-alive", OLD + b"Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKS
            ),
            last("http-1.0-with-a-length", OLD + b"Content-Length: 37\r\n\r\n" + BODY, 201, runs=1, ends=True),
        ],
    ),
]
