"""One attack: the bytes, what the standard says of them, and what has to become of the request and of its connection."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

ID: Final = b"prj_01h455vb4pex5vsknk084sn02q"
BODY: Final = b'{"email":"a@b.cd","password":"right"}'
"""Logs somebody in."""
GET: Final = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
POST: Final = b"POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
TOKEN: Final = b"{token}"
"""Stands for a valid access token."""


@dataclass(frozen=True)
class Case:
    """What is sent, and what has to come of it."""

    id: str
    sent: bytes
    status: int
    """Of the answer."""
    code: str
    """Of the problem; "" for an answer that is none."""
    stays: bool
    """Whether the connection does: the next request on it is answered right. Otherwise it is closed."""
    runs: int = 0
    """How often a method is called: once by a request with a body that is served."""
    answers: int = 1
    """How many there are of that kind."""
    unread: bool = False
    """Whether it is answered without its body: one that has not come yet then ends the connection."""
    ends: bool = False
    """Whether the client says that nothing more comes, so that nothing may be sent behind it."""


def refused(name: str, sent: bytes, status: int = 400, code: str = "malformed_request") -> Case:
    """Answered with a problem, and nothing that follows is believed: the connection ends."""
    return Case(name, sent, status, code, stays=False)


def declined(name: str, sent: bytes, status: int, code: str, runs: int = 0) -> Case:
    """Answered with a problem; where the request ends is beyond doubt, so the connection goes on."""
    return Case(name, sent, status, code, stays=True, runs=runs)


def served(name: str, sent: bytes, status: int = 200, runs: int = 0, answers: int = 1) -> Case:
    """Answered as asked."""
    return Case(name, sent, status, "", stays=True, runs=runs, answers=answers)


def unread(name: str, sent: bytes) -> Case:
    """Answered as asked, whatever its body says."""
    return Case(name, sent, 200, "", stays=True, unread=True)


def last(name: str, sent: bytes, status: int = 200, runs: int = 0, *, ends: bool = False) -> Case:
    """Answered as asked, and the connection ends."""
    return Case(name, sent, status, "", stays=False, runs=runs, ends=ends)


def section(where: str, cases: Iterable[Case]) -> list[Case]:
    """The cases of a section of a standard, named by it."""
    return [Case(**{**case.__dict__, "id": f"{where}/{case.id}"}) for case in cases]
