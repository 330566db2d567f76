"""Refusals → answers: RFC 9457 problems, the one table of status codes, and the gateway's one catch-all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Protocol, TypeVar

import msgspec
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from acme.authorise import STEP_UP
from acme.errors import Code, Refused
from acme.gateway.settings import LONGEST_LINE
from acme.telemetry import logger

log: Final = logger(__name__)


class Asked(Protocol):
    """Whoever asks can be told apart."""

    request_id: str


T = TypeVar("T", bound=Asked)

STATUS: Final[Mapping[Code, int]] = {
    Code.MALFORMED: 400,
    Code.INVALID: 422,
    Code.UNAUTHENTICATED: 401,
    Code.DENIED: 403,
    Code.NOT_FOUND: 404,
    Code.CONFLICT: 409,
    Code.STALE: 412,
    Code.UNCONDITIONAL: 428,
    Code.TOO_LARGE: 413,
    Code.EXHAUSTED: 429,
    Code.CANCELLED: 499,
    Code.INTERNAL: 500,
    Code.UNIMPLEMENTED: 501,
    Code.UNAVAILABLE: 503,
    Code.DEADLINE: 504,
}

# RFC 9457, section 4.2.1: with the type about:blank, the title is the status's own phrase.
TITLES: Final[Mapping[int, str]] = {
    **{status.value: status.phrase for status in HTTPStatus if status >= 400},
    413: "Content Too Large",
    422: "Unprocessable Content",
    499: "Client Closed Request",
}

_TOKEN_REASONS: Final = frozenset({"invalid_token", "token_expired", "token_revoked"})


class Rejected(Refused):
    """Refused for a reason that only HTTP has, such as 405 or 415; `headers` go with the answer."""

    def __init__(self, status: int, reason: str, message: str, **headers: str) -> None:
        super().__init__(message, code=Code.MALFORMED, reason=reason)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


@dataclass(frozen=True, slots=True)
class Problem:
    """An answer that says no."""

    status: int
    body: bytes
    headers: Mapping[str, str]


def problem(refusal: Refused, request_id: str, *, permission: str = "") -> Problem:
    """The answer to a refusal. `permission` is what the route demands, for insufficient_scope (RFC 6750, section 3)."""
    status = refusal.status if isinstance(refusal, Rejected) else STATUS[refusal.code]
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": TITLES[status],
        "status": status,
        "detail": refusal.message,
        "code": refusal.reason,
        "request_id": request_id,
    }
    if refusal.faults:
        body["errors"] = [{"pointer": f.pointer, "code": f.code, "detail": f.message} for f in refusal.faults]
    headers = dict(refusal.headers) if isinstance(refusal, Rejected) else {}
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(max(1, round(refusal.retry_after)))
    if status == 401 or refusal.reason == "insufficient_scope":
        headers["WWW-Authenticate"] = _challenge(refusal, permission)
    return Problem(status, msgspec.json.encode(body), headers)


def unread(error: BaseException | None) -> Rejected | None:
    """What a client is told of which aiohttp's parser makes no request; `None` for another error."""
    if isinstance(error, LineTooLong):
        line = error.args[0]
        if bytes(line).startswith((b"/", b"http:")):
            return Rejected(414, "uri_too_long", f"The request line may have at most {LONGEST_LINE} bytes.")
        return Rejected(431, "header_too_large", f"A header may have at most {LONGEST_LINE} bytes.")
    if isinstance(error, HttpProcessingError):
        return Rejected(400, "malformed_request", "This is not a well-formed HTTP/1.1 request.")
    return None


def _challenge(refusal: Refused, permission: str) -> str:
    parts = ['Bearer realm="acme"']
    if refusal.reason in _TOKEN_REASONS:
        description = refusal.message.replace('"', "'").replace("\\", "/")
        parts += ['error="invalid_token"', f'error_description="{description}"']
    elif refusal.reason == "step_up_required":  # RFC 9470, section 3
        description = "More recent authentication is required"
        parts += ['error="insufficient_user_authentication"', f'error_description="{description}"']
        parts.append(f'max_age="{STEP_UP:.0f}"')
    elif refusal.reason == "insufficient_scope":
        parts += ['error="insufficient_scope"', f'scope="{permission}"']
    return ", ".join(parts)


async def settled(
    step: Callable[[T], Awaitable[Any]], exchange: T, settle: Callable[[T, Any], Any], cancelled: Callable[[T], None]
) -> Any:
    """What `settle` makes of what `step` returns, or of the `Refused` it ends in. Whatever else goes wrong is logged here,
    and says nothing to the client but the request id. Cancellation passes, once `cancelled` has accounted for it."""
    try:
        outcome = await step(exchange)
    except Refused as refusal:
        outcome = refusal
    except asyncio.CancelledError:
        cancelled(exchange)
        raise
    except Exception as error:
        log.error("request failed", request_id=exchange.request_id, error=type(error).__name__, exc_info=error)
        outcome = Refused("Something went wrong on our side. Tell support the request_id.", reason="internal")
    return settle(exchange, outcome)
