"""Hooks of schemathesis: who calls, and which ids requests hold.

Every operation has a person of its own, who has an organisation, a project, a team and so on. Where a path or a body would
hold an id that was made up, and schemathesis means it to be valid, the id becomes one that exists, four times in five.
What came back to bodies that are valid is counted, and written to `FUZZ_TALLY`.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import secrets
import zlib
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, Final

import requests.adapters
import schemathesis
from schemathesis.core import NotSet
from schemathesis.core.parameters import ParameterLocation

from acme.testing.people import PASSWORD
from tests.fuzz.places import Api, Place, anywhere

_ID: Final = re.compile(r"(org|prj|tem|rol|sva|inv|pat|ses|usr)_[0-7][0-9a-hjkmnp-tv-z]{25}")
_API: Final = Api(os.environ["FUZZ_API"])
_MAILBOX: Final = Path(os.environ["FUZZ_MAILBOX"])
_PLACES: Final[dict[str, Place]] = {}
_TALLY: Final[defaultdict[str, Counter[str]]] = defaultdict(Counter)
_STAYS: Final = 5
"""One of so many made-up ids stays."""
LANGUAGES: Final[dict[str, tuple[Any, ...]]] = {
    "filter": (
        "archived = false",
        'labels.env = "prod" AND NOT archived = true',
        'created_at > "2026-01-01T00:00:00Z"',
    ),
    "order_by": ("name", "updated_at desc", "created_at, name desc"),
    "query": ("apollo", "guidance and navigation"),
    "role": ("admin", "member", "viewer"),
    "scopes": (["*"], ["read"], ["projects.read", "projects.create"]),
    "permissions": ([], ["organizations.read"], ["projects.read", "projects.update"]),
    "password": (PASSWORD,),
    "current_password": (PASSWORD,),
    "new_password": ("twelve purple elephants dancing", "a correct horse ate the battery"),
    "avatar_url": ("", "https://example.com/ada.png"),
    "locale": ("en-GB", "de-CH"),
    "time_zone": ("Europe/Zurich", "UTC"),
    "expires_at": ("2031-01-01T00:00:00Z", "2099-01-01T00:00:00Z"),
    "membership_expires_at": ("2031-01-01T00:00:00Z", "2099-01-01T00:00:00Z"),
}
"""What no schema can say: filters, the names of roles, permissions, languages and zones, good passwords, times to come.
(A page token is the server's own, and left out.)"""
MEANT: Final = {
    "token_invalid": "nobody has such a token",
    "not_a_member": "somebody of another organisation",
    "exclusive": "an id or an address, but neither or both were given",
    "nul": "free-form JSON with the one character that PostgreSQL cannot store",
}
"""Codes with which a body is refused that is valid by its form, whatever its form is, and why."""
_SEEN: Final[set[str]] = set()
"""Ids that came in replies: what the stateful phase goes on with."""


def turn(case: Any) -> str:
    """An operation's own person, or the one of the stateful phase."""
    stateful = case.meta is not None and case.meta.phase.name.value == "stateful"
    return "stateful" if stateful else str(case.operation.label)


def place(case: Any) -> Place:
    """Whose turn it is."""
    return _PLACES.setdefault(turn(case), Place(_API, _MAILBOX))


def leave(case: Any) -> None:
    """The next one is somebody else's."""
    _PLACES.pop(turn(case), None)


@schemathesis.auth(refresh_interval=None, retry_on=[])
class LogIn:
    """A Bearer token of the person whose turn it is."""

    def get(self, case: Any, context: Any) -> str:
        return place(case).log_in()

    def set(self, case: Any, data: str, context: Any) -> None:
        case.headers = case.headers or {}
        case.headers["Authorization"] = f"Bearer {data}"


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    """Ids that exist in the place of made-up ones, and words of languages in the place of any."""
    meta = case.meta
    if meta is None:
        return
    if case.headers and "X-Request-Timeout" in case.headers and not meta.is_negative_at(ParameterLocation.HEADER):
        case.headers["X-Request-Timeout"] = "10"  # a shorter one may run out, which proves nothing
    here = place(case)
    if case.path_parameters and not meta.is_negative_at(ParameterLocation.PATH):
        followed(here, case)
    if meta.generation.mode.is_negative:
        return
    here.log_in()
    if case.path_parameters:
        program = "serviceAccounts" in case.operation.path
        case.path_parameters = {name: known(here, value, program) for name, value in case.path_parameters.items()}
    if not isinstance(case.body, NotSet):
        case.body = spoken(known(here, case.body, False))
    if case.query:
        case.query = {name: value for name, value in case.query.items() if name != "page_token"}
        case.query |= {name: pick(LANGUAGES[name], value) for name, value in case.query.items() if name in LANGUAGES}
    if case.headers and "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = secrets.token_hex(8)
    if case.headers and "If-Match" in case.headers and not case.operation.path.endswith("/settings"):
        case.headers["If-Match"] = pick(("*", "*", "*", "*", '"7"'), case.headers["If-Match"])


def followed(here: Place, case: Any) -> None:
    """Puts ids that exist in the place of those that schemathesis took from a reply where they are empty, as the project of
    an invitation to an organisation is. With them a path would be another operation's: /v1/projects//members."""
    for parameter in case.operation.path_parameters.items:
        if case.path_parameters.get(parameter.name) == "":
            kind = re.search("[a-z]{3}", parameter.definition["schema"].get("pattern", ""))
            here.log_in()
            case.path_parameters[parameter.name] = here.id(kind[0]) if kind else ""


def spoken(body: Any) -> Any:
    """A body whose words mean something."""
    if not isinstance(body, dict):
        return body
    body = {name: pick(LANGUAGES[name], value) if name in LANGUAGES else value for name, value in body.items()}
    if body.get("subject_id"):
        body.pop("email", None)  # a person is added by id or by address
    if "@" not in body.get("email", "@"):
        body["email"] = "fuzz@example.com"  # where it may be empty, the document cannot say that it is an address
    return body


def pick(values: tuple[Any, ...], seed: object) -> Any:
    """One of them, the same for the same seed."""
    return values[zlib.crc32(repr(seed).encode()) % len(values)]


def known(here: Place, value: Any, program: bool) -> Any:
    """A value with ids of things that exist."""
    if isinstance(value, dict):
        return {name: known(here, inner, program) for name, inner in value.items()}
    if isinstance(value, list):
        return [known(here, inner, program) for inner in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)  # 306.0 is an integer to JSON Schema, and none to us
    if not isinstance(value, str) or not (found := _ID.fullmatch(value)) or value in _SEEN:
        return value
    if sum(value.encode()) % _STAYS == 0:
        return value
    if found[1] == "pat" and program:
        return here.program_token()
    return here.id(found[1]) or value


def _from_anywhere(_adapter: Any, request: Any, **_options: Any) -> None:
    """Every request from an address of its own: what throttles count of one says nothing about the next."""
    request.headers["X-Forwarded-For"] = anywhere()


# All requests pass there, and `requests` leaves it open. (A hook would change the case, which would be judged by it.)
setattr(requests.adapters.HTTPAdapter, "add_headers", _from_anywhere)  # noqa: B010 - mypy lets nobody assign methods


@schemathesis.hook
def filter_failure(_context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Header fields that nobody knows are to be ignored (RFC 9110, section 5.1), so they are no violation. No more is null,
    which is the same as a field that is left out, as the document's description says. And what is refused for its meaning
    is not refused for its form."""
    if "in header - object with unexpected properties" in failure.message:
        return False
    wrong = re.search(r"in body - (\w+): Incorrect type", failure.message)
    if wrong is not None and isinstance(case.body, dict) and case.body.get(wrong[1], "") is None:
        return False
    if type(failure).__name__ != "RejectedPositiveData":
        return True
    mixed = turn(case) == "stateful" and "id" in codes(response)  # an id of another kind, out of another reply
    return not mixed and not codes(response) & MEANT.keys()


def codes(response: Any) -> set[str]:
    """The codes of a problem, its own and those of its faults."""
    try:
        problem = json.loads(response.text)
        return {problem["code"], *(fault["code"] for fault in problem.get("errors", ()))}
    except (ValueError, KeyError, TypeError):
        return set()


@schemathesis.hook
def after_call(_context: Any, case: Any, response: Any) -> None:
    """Counts answers to valid requests, and forgets what is gone."""
    if response.status_code < 300 and case.meta is not None and case.meta.phase.name.value == "stateful":
        _SEEN.update(found[0] for found in _ID.finditer(response.text or ""))
    if response.status_code < 300 and (case.method == "DELETE" or ":leave" in case.path):
        place(case).forget(str(list((case.path_parameters or {"": ""}).values())[-1]))
    if response.status_code < 300 and case.operation.path.startswith(("/v1/sessions", "/v1/users/me:")):
        place(case).doubt()
    if response.status_code < 300 and case.operation.path.endswith(":changePassword"):
        leave(case)
    meta = case.meta
    if meta is not None and not meta.generation.mode.is_negative and not meta.is_negative_at(ParameterLocation.BODY):
        kind = "body" if not isinstance(case.body, NotSet) else "no body"
        code = " ".join(sorted(codes(response))) if response.status_code >= 400 else ""
        _TALLY[f"{kind} {case.operation.label}"][f"{response.status_code} {code}".strip()] += 1


@atexit.register
def _write() -> None:
    Path(os.environ["FUZZ_TALLY"]).write_text(json.dumps(_TALLY, indent=1))
