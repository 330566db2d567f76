"""The few errors that may cross a wire.

A service refuses by raising `Refused`, most often through one of its named subclasses. What crosses to the caller is the
code, the reason, the message and the typed details, in every placement: never a Python exception, its class or its
traceback. `gateway/problems.py` maps `Code` to HTTP and `dispatch/status.py` maps it to gRPC; each is one table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Code(StrEnum):
    """What kind of refusal it is. Named after gRPC's codes where those say enough."""

    MALFORMED = "malformed"
    """It cannot be read at all: broken JSON, a tampered page token. HTTP 400."""
    INVALID = "invalid_argument"
    """It can be read and breaks a rule. HTTP 422."""
    UNAUTHENTICATED = "unauthenticated"
    """No token, or one that proves nothing. HTTP 401."""
    DENIED = "permission_denied"
    """The caller may see the thing, and may not do this to it. HTTP 403."""
    NOT_FOUND = "not_found"
    """There is no such thing, or the caller may not see it. HTTP 404."""
    CONFLICT = "conflict"
    """The state of the thing forbids it. HTTP 409."""
    STALE = "failed_precondition"
    """The condition the caller set (If-Match) does not hold. HTTP 412."""
    UNCONDITIONAL = "precondition_required"
    """The caller has to say which version it means (If-Match), and does not. HTTP 428."""
    TOO_LARGE = "too_large"
    """More bytes than the method takes or the wire carries. HTTP 413."""
    EXHAUSTED = "resource_exhausted"
    """The caller has used up its allowance. HTTP 429."""
    CANCELLED = "cancelled"
    """The caller has gone. HTTP 499, which nobody reads."""
    INTERNAL = "internal"
    """A fault of ours. HTTP 500."""
    UNIMPLEMENTED = "unimplemented"
    """The contract has the method, the service does not. HTTP 501."""
    UNAVAILABLE = "unavailable"
    """Not now: try again after `retry_after`. HTTP 503."""
    DEADLINE = "deadline_exceeded"
    """Time ran out. Whether it was done is not known. HTTP 504."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a request."""

    pointer: str
    """JSON Pointer (RFC 6901) into the request body; for other inputs the name, such as "?page_size"."""
    code: str
    """Stable, such as "required", "max_length", "unknown_field"."""
    message: str
    """For people: what is allowed."""


class Refused(Exception):
    """A call was understood and not done.

    `code` is the kind, `reason` the stable machine-readable name (the problem's `code`; the kind's when left out),
    `message` one sentence that says what to do and holds no secret, `faults` the details, `retry_after` seconds.
    `commit=True` keeps what the handler has written so far (reuse detection, failure counters, denials); without it the
    unit of work rolls back.
    """

    code: Code = Code.INTERNAL

    def __init__(
        self,
        message: str,
        *,
        code: Code | None = None,
        reason: str = "",
        faults: Sequence[Fault] = (),
        retry_after: float | None = None,
        commit: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code
        self.reason = reason or self.code.value
        self.faults = tuple(faults)
        self.retry_after = retry_after
        self.commit = commit


class Malformed(Refused):
    """The request cannot be read."""

    code = Code.MALFORMED


class Invalid(Refused):
    """The request breaks rules; `faults` says which."""

    code = Code.INVALID


class Unauthenticated(Refused):
    """The caller did not prove who it is."""

    code = Code.UNAUTHENTICATED


class Denied(Refused):
    """The caller may not do this."""

    code = Code.DENIED


class NotFound(Refused):
    """No such thing for this caller."""

    code = Code.NOT_FOUND


class Conflict(Refused):
    """The state of the thing forbids it."""

    code = Code.CONFLICT


class Stale(Refused):
    """The version the caller named is not the current one."""

    code = Code.STALE


class Unconditional(Refused):
    """The caller has to name the version that its change is meant for (RFC 6585, section 3)."""

    code = Code.UNCONDITIONAL

    def __init__(
        self,
        message: str = 'Name the version that the change is meant for: If-Match with the ETag you read, such as "7".',
    ) -> None:
        super().__init__(message)


class TooLarge(Refused):
    """Too many bytes."""

    code = Code.TOO_LARGE


class Exhausted(Refused):
    """The allowance is used up; `retry_after` is set."""

    code = Code.EXHAUSTED


class Unavailable(Refused):
    """Not now; `retry_after` is set.

    The reason "unreachable" says that the callee was not reached at all, and comes from what carries calls alone: a service
    that gives it, or passes it on, is heard as "unavailable".
    """

    code = Code.UNAVAILABLE

    def __init__(self, message: str, *, retry_after: float = 1.0, reason: str = "") -> None:
        super().__init__(message, reason=reason, retry_after=retry_after)


class DeadlineExceeded(Refused):
    """Time ran out."""

    code = Code.DEADLINE
