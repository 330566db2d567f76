"""Contracts → OpenAPI 3.1, through apispec.

The document says what the gateway does because both read the same contract: paths and parameters from google.api.http,
schemas from messages and rules, descriptions from the comments, every status a method can end in. It is rendered when it
is first asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec
from apispec import APISpec

from acme.authorise import STEP_UP
from acme.contract import Field, Method, Route, Service
from acme.errors import Code
from acme.gateway.binding import given, is_tagged, taken, unfit
from acme.gateway.events import END, EVENT_STREAM, names_event
from acme.gateway.examples import NOTHING, REQUEST_ID, VERSION, Examples, refusal
from acme.gateway.parts import is_range, parts
from acme.gateway.policy import declared
from acme.gateway.problems import STATUS, TITLES
from acme.gateway.schemas import Schema, Schemas
from acme.gateway.server import JSON, PROBLEM
from acme.gateway.settings import GatewaySettings

_VARIABLE: Final = re.compile(r"\{([^{}=]+)(?:=\*)?\}")
_UNLISTED: Final = frozenset({"accept", "content-type", "authorization", "user-agent"})
"""Headers that every client sends anyway, or that OpenAPI describes elsewhere."""

_DESCRIPTION: Final = """\
Fields are snake_case. Times are RFC 3339 in UTC. Unknown fields, duplicate keys and broken rules are refused with 422 and
a JSON Pointer for each fault; leaving a field out and giving null are the same. A PATCH changes the fields that are
present. What the caller may not see is 404. Requests are limited by address and by caller: RateLimit tells what is left, and
429 when to come back. Errors are RFC 9457 problems with a stable `code` and a `request_id`. Operations that stream and are
no GET refuse an Idempotency-Key with 400."""

_PROBLEM: Final[Schema] = {
    "type": "object",
    "description": "An error (RFC 9457).",
    "required": ["type", "title", "status", "detail", "code", "request_id"],
    "properties": {
        "type": {"type": "string", "const": "about:blank"},
        "title": {"type": "string", "description": "The phrase of the status."},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "description": "For people: what is wrong, and what to do."},
        "code": {"type": "string", "description": "Stable name of the reason, such as token_expired."},
        "request_id": {"type": "string", "description": "What to tell support."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "code", "detail"],
                "properties": {
                    "pointer": {
                        "type": "string",
                        "description": 'JSON Pointer into the body, or the place: "?page_size", "{id}", "If-Match".',
                    },
                    "code": {"type": "string", "description": "Stable name of the broken rule."},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}

_WHEN: Final = {
    400: "It cannot be read: broken JSON, a tampered page token, a malformed header.",
    401: "No access token, or one that proves nothing; or wrong credentials.",
    403: "The token's scope does not cover the method, or the caller may see the thing and not do this to it.",
    404: "There is no such thing, or the caller may not see it.",
    408: "The body came too slowly.",
    409: "The state of the thing forbids it, or a request with the same Idempotency-Key is in flight.",
    412: "The version in If-Match is not the current one.",
    413: "The body is too large.",
    414: "The request line is too long.",
    415: "The body is compressed, or is not JSON where it has to be.",
    416: "Nothing of the range is there: Content-Range says how much is.",
    422: "Fields or parameters break rules; `errors` says which.",
    428: "If-Match is missing, or names no version.",
    429: "Too many requests.",
    431: "A header is too long, or there are too many.",
    500: "A fault of ours.",
    503: "Not now: try again.",
    504: "Time ran out. Whether it was done is not known.",
}
_RETRY: Final = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}}
_CHALLENGE: Final = {"WWW-Authenticate": {"description": "RFC 6750, section 3.", "schema": {"type": "string"}}}
_LIMITS: Final[dict[str, Any]] = {
    "RateLimit-Policy": {
        "description": "The limit of this class of requests: quota `q` comes back whole in `w` seconds"
        " (draft-ietf-httpapi-ratelimit-headers-10).",
        "schema": {"type": "string", "examples": ['"default";q=500;w=10']},
    },
    "RateLimit": {
        "description": "What is left of it, `r`, and the seconds until there is more, `t`.",
        "schema": {"type": "string", "examples": ['"default";r=499;t=1']},
    },
}
_SIZE: Final[dict[str, Any]] = {"Content-Range": {"schema": {"type": "string", "examples": ["bytes */1000"]}}}
_HEADERS: Final[dict[int, dict[str, Any]]] = {
    401: _CHALLENGE,
    403: _CHALLENGE,
    416: _SIZE,
    429: _RETRY | _LIMITS,
    503: _RETRY,
}


_STEP_UP: Final = (
    f"\n\nThe caller must have proved its password within the last {STEP_UP / 60:.0f} minutes. Otherwise the answer is 401"
    " with the code step_up_required: prove it again (`POST /v1/sessions:stepUp`), and repeat the request with the new"
    " access token. Tokens made for programs never suffice (403, step_up_impossible)."
)

_PART: Final = "A part of it: that which Range asks for."
_RANGE: Final[Schema] = {"type": "string", "pattern": "^bytes=([0-9]{1,18}-[0-9]{0,18}|-[0-9]{1,18})$"}

_RAW: Final[dict[str, Any]] = {"*/*": {"schema": {"type": "string", "format": "binary"}}}
"""Bytes as they are, of any type."""


_EVENTS: Final[Schema] = {
    "type": "string",
    "description": "Server-Sent Events. The data of each is JSON, as x-item-schema says. The last one is `end`, or `problem`"
    " with an error as its data. A stream that ends without either was interrupted: ask again, with the last id that was"
    " seen in Last-Event-ID where the operation takes that.",
}


def render(services: Iterable[Service], settings: GatewaySettings, title: str, version: str) -> bytes:
    """The document as JSON."""
    return msgspec.json.encode(document(services, settings, title, version))


def document(services: Iterable[Service], settings: GatewaySettings, title: str, version: str) -> dict[str, Any]:
    """The document."""
    spec = APISpec(
        title,
        version,
        "3.1.0",
        info={"description": _DESCRIPTION},
        servers=[{"url": "/", "description": "This gateway."}],
    )
    _shared(spec, settings)
    services = tuple(services)
    schemas = Schemas(lambda name, schema: _component(spec, name, schema))
    examples = Examples(services)
    for service in services:
        methods = [declared(method, settings) for method in service.methods]
        routed = [(method, route) for method in methods for route in method.routes if not unfit(method, route)]
        if routed:
            spec.tag({"name": _short(service.name), "description": service.comment})
        for method, route in routed:
            path = _VARIABLE.sub(r"{\1}", route.template)
            spec.path(path, operations={route.verb.lower(): _operation(method, route, schemas, examples)})
    return dict(spec.to_dict())


def _component(spec: APISpec, name: str, schema: Schema) -> None:
    spec.components.schema(name, schema)


def _shared(spec: APISpec, settings: GatewaySettings) -> None:
    components = spec.components
    components.schema("Problem", _PROBLEM)
    components.security_scheme(
        "bearer",
        {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "An access token (RFC 9068)."},
    )
    for status, when in _WHEN.items():
        codes = [code.value for code in Code if STATUS[code] == status]
        components.response(
            f"{status}",
            {
                "description": f"{TITLES[status]}. {when}" + (f" Default code: {codes[0]}." if codes else ""),
                "headers": {**_HEADERS.get(status, {}), "X-Request-Id": {"schema": {"type": "string"}}},
                "content": {
                    PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": refusal(status)},
                },
            },
        )
    components.response(
        "304",
        {
            "description": "Not Modified. The client has the current version.",
            "headers": {
                "ETag": {"schema": {"type": "string"}},
                "X-Request-Id": {"schema": {"type": "string"}},
                **_LIMITS,
            },
        },
    )
    for name, schema, example, description in (
        (
            "X-Request-Timeout",
            {
                # As a number it might be written with an exponent, which is refused.
                "type": "string",
                "pattern": r"^(?!0+([.]0+)?$)[0-9]{1,6}([.][0-9]{1,6})?$",
                "default": f"{settings.timeout:g}",
            },
            "2.5",
            f"Seconds the client waits; more than {settings.max_timeout:g} means {settings.max_timeout:g}.",
        ),
        (
            "X-Request-Id",
            {"type": "string"},
            REQUEST_ID,
            "Name of the request in logs: 1 to 64 of A-Z, a-z, 0-9, ., _ and -. Another one, or none, is replaced by one"
            " that is made up. The answer has it.",
        ),
        (
            "Idempotency-Key",
            {"type": "string", "pattern": "^[!-~]{1,255}$"},
            NOTHING,  # a key is for one request: who copied it would get the answer of another
            "A request repeated with the same key within 24 hours is done once; its answer is repeated.",
        ),
        (
            "If-None-Match",
            {"type": "string"},
            f'"{VERSION}"',
            "The ETag of the version the client has, or several with commas: 304 and no body while one of them is the"
            " current one. What is no ETag matches none.",
        ),
    ):
        parameter: dict[str, Any] = {"name": name, "in": "header", "description": description, "schema": schema}
        if example is not NOTHING:
            parameter["example"] = example
        components.parameter(name, "header", parameter)


def _operation(method: Method, route: Route, schemas: Schemas, examples: Examples) -> dict[str, Any]:
    variables = _VARIABLE.findall(route.template)
    headers = [field for field in method.request.fields if field.header]
    elsewhere = frozenset({*variables, *(field.name for field in headers)})
    if route.verb == "PATCH":
        elsewhere |= {method.request.mask} - {""}
    parameters: list[Any] = [
        _parameter(method, field, "path", schemas, examples) for field in _fields(method, variables)
    ]
    if route.body != "*":
        parameters += [
            _parameter(method, field, "query", schemas, examples)
            for field in method.request.fields
            if field.name not in elsewhere and field.name != route.body
        ]
    inputs = bool(parameters or route.body)
    parameters += [
        _parameter(method, f, "header", schemas, examples) for f in headers if f.header.lower() not in _UNLISTED
    ]
    streams = method.client_streaming or method.server_streaming
    keyed = route.verb != "GET" and not (method.public or method.secret_reply or streams)
    # apispec makes references of names.
    tagged = is_tagged(method, route)
    parameters += ["X-Request-Timeout", "X-Request-Id", *(["Idempotency-Key"] if keyed else [])]
    parameters += ["If-None-Match"] if tagged else []
    summary, _, _ = method.comment.partition(". ")
    operation: dict[str, Any] = {
        "operationId": f"{_short(method.service)}_{method.name}",
        "tags": [_short(method.service)],
        "summary": " ".join(summary.split()).removesuffix("."),
        "description": method.comment + (_STEP_UP if method.step_up else ""),
        "parameters": parameters,
        "responses": {str(method.success_status): _success(method, schemas, examples)}
        | ({"206": {"description": _PART, "headers": _SIZE, "content": _RAW}} if parts(method) is not None else {})
        | ({"304": "304"} if tagged else {})
        | {str(status): str(status) for status in _refusals(method, route, inputs)},
        "security": [{"bearer": [method.permission]}] if method.permission else [],
        **_traits(method),
    }
    if route.body:
        operation["requestBody"] = {
            "required": True,
            "content": _RAW
            if taken(method, route)
            else {JSON: _shown(_body(method, route, elsewhere, schemas), examples.body(method, route, elsewhere))},
        }
    return operation


def _body(method: Method, route: Route, elsewhere: frozenset[str], schemas: Schemas) -> Schema:
    if route.body == "*":
        return schemas.request(method.request, elsewhere)
    (field,) = _fields(method, [route.body])
    return schemas.field(field, taken=True)


def _fields(method: Method, names: Iterable[str]) -> list[Field]:
    by_name = {field.name: field for field in method.request.fields}
    return [by_name[name] for name in names]


def _shown(schema: Schema, example: Any) -> dict[str, Any]:
    return {"schema": schema} if example is NOTHING else {"schema": schema, "example": example}


def _traits(method: Method) -> dict[str, Any]:
    """What the contract says of a method and OpenAPI has no word for. `x-` and what is true: the rest is left out."""
    traits = {
        "x-role": method.role if method.permission else "",
        "x-rate-class": method.rate_class,
        "x-step-up": method.step_up,
        "x-changes-access": method.changes_access,
        "x-idempotent": method.idempotent,
        "x-secret-reply": method.secret_reply,
        "x-timeout": method.timeout,
        "x-cost": method.cost if method.cost > 1 else None,
    }
    return {name: value for name, value in traits.items() if value}


def _parameter(method: Method, field: Field, place: str, schemas: Schemas, examples: Examples) -> dict[str, Any]:
    schema = schemas.field(field, taken=True)
    description = schema.pop("description", "")
    required = place == "path" or bool(field.rules and field.rules.required)
    if place == "header" and field.header.lower() == "if-match":
        version = r'"(0|[1-9][0-9]{0,18})"'
        schema = {"type": "string", "pattern": f"^{version}$" if field.condition else rf"^({version}|\*)$"}
    elif place == "header" and is_range(field):
        schema = dict(_RANGE)
    parameter: dict[str, Any] = {"name": field.header if place == "header" else field.name, "in": place}
    if description:
        parameter["description"] = description
    return {**parameter, "required": required, **_shown(schema, examples.value(field, method.request, taken=True))}


def _success(method: Method, schemas: Schemas, examples: Examples) -> dict[str, Any]:
    headers: dict[str, Any] = {"X-Request-Id": {"schema": {"type": "string"}}, **_LIMITS}
    if method.cache is not None:
        headers["Cache-Control"] = {
            "description": f"The answer may be kept for {method.cache.max_age} seconds (RFC 9111).",
            "schema": {"type": "string"},
        }
    for field in method.reply.fields:
        if field.header and not names_event(field):
            headers[field.header] = {"description": field.comment, "schema": {"type": "string"}}
            if field.header.lower() == "etag":
                headers[field.header]["example"] = f'"{VERSION}"'
    if method.success_status == 204:
        return {"description": "Done.", "headers": headers}
    return {
        "description": method.reply.comment or f"{_short(method.reply.name)}.",
        "headers": headers,
        "content": _RAW if given(method) is not None else _written(method, schemas, examples),
    }


def _written(method: Method, schemas: Schemas, examples: Examples) -> dict[str, Any]:
    """Replies as JSON: one, or the data of many events."""
    schema, example = schemas.reply(method.reply), examples.reply(method)
    if not method.server_streaming:
        return {JSON: _shown(schema, example)}
    data = b"" if example is NOTHING else b"data: %b\n\n" % msgspec.json.encode(example)
    return {EVENT_STREAM: {"schema": _EVENTS, "x-item-schema": schema, "example": (data + END).decode()}}


def _refusals(method: Method, route: Route, inputs: bool) -> list[int]:
    """The statuses a method may refuse with."""
    statuses = {400, 401, 404, 413, 414, 429, 431, 500, 503, 504}
    if method.permission:
        statuses.add(403)
    if inputs:
        statuses.add(422)
    if route.body:
        statuses |= {408, 415}
    if route.verb != "GET":
        statuses.add(409)
    if parts(method) is not None:
        statuses.add(416)
    if any(field.header.lower() == "if-match" for field in method.request.fields):
        statuses.add(412)
    if any(field.condition for field in method.request.fields):
        statuses.add(428)
    return sorted(statuses)


def _short(name: str) -> str:
    return name.rpartition(".")[2]
