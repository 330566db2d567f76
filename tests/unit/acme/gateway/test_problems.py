"""Refusals become problems, and what is unexpected says nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import pytest

from acme.errors import (
    Code,
    Denied,
    Exhausted,
    Fault,
    Invalid,
    NotFound,
    Refused,
    Unauthenticated,
    Unavailable,
)
from acme.gateway.problems import STATUS, TITLES, Rejected, problem, settled


def test_every_code_has_a_status_and_every_status_a_title() -> None:
    assert set(STATUS) == set(Code)
    assert all(TITLES[status] for status in STATUS.values())


def test_titles_are_the_phrases_of_the_standard() -> None:
    assert all(TITLES[status.value] for status in HTTPStatus if status >= 400)
    assert (TITLES[404], TITLES[422]) == ("Not Found", "Unprocessable Content")


def test_a_problem_says_what_rfc_9457_and_our_clients_want() -> None:
    answer = problem(Invalid("The name is wrong.", faults=[Fault("/name", "required", "is required")]), "r1")
    assert answer.status == 422
    assert json.loads(answer.body) == {
        "type": "about:blank",
        "title": "Unprocessable Content",
        "status": 422,
        "detail": "The name is wrong.",
        "code": "invalid_argument",
        "request_id": "r1",
        "errors": [{"pointer": "/name", "code": "required", "detail": "is required"}],
    }
    assert answer.headers == {}


def test_a_problem_without_faults_has_no_errors() -> None:
    assert "errors" not in json.loads(problem(NotFound("none"), "r1").body)


@pytest.mark.parametrize(("seconds", "value"), [(0.0, "1"), (0.2, "1"), (1.0, "1"), (29.7, "30")])
def test_retry_after_is_whole_seconds_and_at_least_one(seconds: float, value: str) -> None:
    assert problem(Unavailable("later", retry_after=seconds), "r1").headers == {"Retry-After": value}
    assert problem(Exhausted("later", retry_after=seconds), "r1").headers == {"Retry-After": value}


def test_a_401_challenges() -> None:
    answer = problem(Unauthenticated("Send a token.", reason="token_missing"), "r1")
    assert answer.headers == {"WWW-Authenticate": 'Bearer realm="acme"'}


@pytest.mark.parametrize("reason", ["invalid_token", "token_expired", "token_revoked"])
def test_a_wrong_token_is_named_in_the_challenge(reason: str) -> None:
    answer = problem(Unauthenticated('It must say "at+jwt" \\.', reason=reason), "r1")
    assert answer.headers == {
        "WWW-Authenticate": 'Bearer realm="acme", error="invalid_token", error_description="It must say \'at+jwt\' /."'
    }


def test_a_small_scope_names_the_one_that_is_needed() -> None:
    answer = problem(Denied("Too small.", reason="insufficient_scope"), "r1", permission="projects.read")
    assert answer.status == 403
    assert answer.headers["WWW-Authenticate"].endswith('error="insufficient_scope", scope="projects.read"')


def test_any_other_denial_challenges_nobody() -> None:
    assert problem(Denied("No."), "r1").headers == {}


def test_what_only_http_has_keeps_its_status_and_headers() -> None:
    answer = problem(Rejected(415, "unsupported_media_type", "Send JSON.", Accept_Encoding="identity"), "r1")
    assert (answer.status, dict(answer.headers)) == (415, {"Accept-Encoding": "identity"})
    assert json.loads(answer.body)["code"] == "unsupported_media_type"


@dataclass
class Asked:
    """Somebody who asks."""

    request_id: str
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


async def outcome(step: Callable[[Asked], Awaitable[Any]], asked: Asked) -> Any:
    """What is settled."""
    return await settled(step, asked, lambda _, found: found, Asked.cancel)


async def test_what_is_unexpected_is_an_internal_error_that_says_nothing() -> None:
    async def step(asked: Asked) -> str:
        raise RuntimeError(f"secret {asked}")

    refusal = await outcome(step, Asked("r1"))
    assert isinstance(refusal, Refused)
    answer = problem(refusal, "r1")
    assert answer.status == 500
    assert b"secret" not in answer.body
    assert json.loads(answer.body)["code"] == "internal"


async def test_a_refusal_is_settled_and_a_value_too() -> None:
    async def refuses(asked: Asked) -> str:
        raise NotFound(asked.request_id)

    async def answers(asked: Asked) -> str:
        return asked.request_id

    assert isinstance(await outcome(refuses, Asked("r1")), NotFound)
    assert await outcome(answers, Asked("r1")) == "r1"


async def test_cancellation_passes_through_once_it_is_accounted_for() -> None:
    async def step(asked: Asked) -> str:
        raise asyncio.CancelledError

    asked = Asked("r1")
    with pytest.raises(asyncio.CancelledError):
        await outcome(step, asked)
    assert asked.cancelled
