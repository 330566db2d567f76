"""Random requests over the REST routes of contracts, derived from what the contracts say: values that keep the rules, and
values, bodies and headers that break them.

What only a server knows is written as a reference, `@prj:1@`: `Asked.at` puts the server's own second project there. So one
request can be sent to several servers whose ids and tokens differ.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final
from urllib.parse import quote

from hypothesis import strategies as st

from acme.contract import Contracts, Field, Format, Kind, Message, Method, Route, Rules
from acme.testing import PASSWORD

Known = Mapping[str, Sequence[str]]
"""What references mean: by kind, such as "prj" or "refresh", in an order that all servers share."""

ANN, BOB, CAROL = "ann@example.com", "bob@example.com", "carol@example.com"
CALLERS: Final = (*["ann"] * 10, *["bob"] * 4, "", "garbage")

ENDING: Final = frozenset({"RevokeAllSessions"})
"""Methods that would end the sessions that the requests after them are made with: servers cannot unhear that."""

STRUCT: Final = "google.protobuf.Struct"
_REFERENCE: Final = re.compile(r"@([a-z]+):([0-9])@")
_VARIABLE: Final = re.compile(r"\{(\w+)\}")
_UNKNOWN_ID: Final = "01h455vb4pex5vsknk084sn02q"
_WRONG: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, -1, 3, 1.5, 2**31, 2**53, 2**63, 10**400, "", "x", "7", " ", [], ["x"], {}, {"a": 1}),
    *(
        "\0",
        "\ud800",
        "two\nlines",
        "\u202e",
        "é" * 400,
        "x" * 3000,
        "@prj:0@ x",
        "@org:0@",
        "@ses:0@",
        "prj_" + "z" * 26,
    ),
)
_RAW: Final = (
    b"",
    b"{",
    b"[]",
    b"null",
    b'"x"',
    b"\xff",
    b"\xef\xbb\xbf{}",
    b"{}{}",
    b'{"name":NaN}',
    b"[" * 80,
    b'{"a":' * 70,
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request."""

    verb: str
    path: str
    """With its query."""
    by: str
    """Who calls: a name, "" for nobody."""
    headers: tuple[tuple[str, str], ...]
    body: bytes | None

    def at(self, known: Known) -> Asked:
        """The request as one server understands it."""

        def text(written: str) -> str:
            return _REFERENCE.sub(lambda found: _chosen(known, found[1], int(found[2])), written)

        body = self.body
        if body is not None and b"@" in body:
            body = text(body.decode("latin-1")).encode("latin-1")  # references are ASCII; everything else stays
        return replace(self, path=text(self.path), body=body)


def _chosen(known: Known, kind: str, number: int) -> str:
    values = known.get(kind) or (f"{kind}_{_UNKNOWN_ID}",)
    return values[number % len(values)]


def requests(contracts: Contracts) -> st.SearchStrategy[Asked]:
    """Requests of any method that has a route. Methods that take a password are rarer: each costs 30 ms of hashing."""
    routes = [
        (m, r)
        for _, s in sorted(contracts.services.items())
        for m in s.methods
        if m.name not in ENDING
        for r in m.routes
    ]
    weighted = [
        pair for pair in routes for _ in range(2 if any(f.name == "password" for f in pair[0].request.fields) else 4)
    ]
    return st.sampled_from(weighted).flatmap(lambda pair: _asked(*pair))


@st.composite
def _asked(draw: st.DrawFn, method: Method, route: Route) -> Asked:
    variables = _VARIABLE.findall(route.template)
    fields = {f.name: f for f in method.request.fields}
    path = route.template
    for name in variables:
        path = path.replace(f"{{{name}}}", _quoted(draw(_mostly(valid(fields[name]), _wrong()))))
    free = [f for f in fields.values() if f.name not in variables and not f.header and f.name != method.request.mask]
    headers = draw(_headers([f.header for f in fields.values() if f.header]))
    body = None
    if route.body == "*":
        body = draw(_mostly(_body(free), st.sampled_from(_RAW), 19))
    elif route.body:
        message = fields[route.body].message
        assert message is not None
        if message.name == STRUCT:
            body = json.dumps(draw(_mostly(_message(message), _wrong()))).encode()
        else:
            body = draw(_body([f for f in message.fields if f.name != message.mask]))
    elif draw(st.integers(0, 29)) == 29:
        body = draw(st.sampled_from([b"{}", b'{"name":"x"}', *_RAW]))
    if route.body != "*":
        queried = [f for f in free if f.name != route.body]
        path += draw(_query(queried))
    verb = draw(_mostly(st.just(route.verb), st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]), 29))
    if body is not None:
        kind = draw(
            _mostly(st.just("application/json"), st.sampled_from(["text/plain", "application/json; charset=utf-8"]), 29)
        )
        headers = (*headers, ("Content-Type", kind))
    return Asked(verb, path, draw(st.sampled_from(CALLERS)), headers, body)


def batches(contracts: Contracts, most: int) -> st.SearchStrategy[list[Asked]]:
    """Up to `most` requests after each other, some of them twice in a row, as a client repeats what it got no answer to."""
    repeated = st.tuples(requests(contracts), st.sampled_from([1, 1, 1, 2]))
    drawn = st.lists(repeated, min_size=1, max_size=most)
    return drawn.map(lambda pairs: [asked for asked, times in pairs for _ in range(times)][:most])


def _mostly(usual: st.SearchStrategy[Any], odd: st.SearchStrategy[Any], times: int = 7) -> st.SearchStrategy[Any]:
    """The usual, and once in `times` + 1 the odd."""
    return st.integers(0, times).flatmap(lambda n: odd if n == times else usual)


def _quoted(value: Any) -> str:
    return quote(value if isinstance(value, str) else json.dumps(value), safe="@:", errors="replace")


@st.composite
def _headers(draw: st.DrawFn, named: list[str]) -> tuple[tuple[str, str], ...]:
    """Those that fill fields, and those that every route knows."""
    made = []
    for name in named:
        version = name == "If-Match"
        values = (
            ['"1"', '"2"', '"3"', '"0"', "*", 'W/"1"', "1", '"x"', '"1", "2"']
            if version
            else ["Phone", "Phöne", "x" * 300]
        )
        if draw(st.booleans()):
            made.append((name, draw(st.sampled_from(values))))
    keys = [*[""] * 12, *["key-1"] * 6, "key-2", "two words", "k" * 256]
    if key := draw(st.sampled_from(keys)):
        made.append(("Idempotency-Key", key))
    if seconds := draw(st.sampled_from([*[""] * 30, "5", "0", "soon"])):
        made.append(("X-Request-Timeout", seconds))
    return tuple(made)


@st.composite
def _query(draw: st.DrawFn, fields: list[Field]) -> str:
    pairs = [(f.name, _quoted(draw(_mostly(valid(f), _wrong())))) for f in fields if draw(st.booleans())]
    odd = draw(st.integers(0, 19))
    if odd == 0:
        pairs.append(("colour", "red"))
    elif odd == 1:
        pairs += pairs
    elif odd == 2:
        pairs.append(("%zz", "%00"))
    return "?" + "&".join(f"{name}={value}" for name, value in pairs) if pairs else ""


@st.composite
def _body(draw: st.DrawFn, fields: list[Field]) -> bytes:
    """A JSON object: most of its fields in order, some wrong, some missing, some strange."""
    content: dict[str, Any] = {}
    for f in fields:
        required = f.rules is not None and f.rules.required
        if draw(st.integers(0, 15)) != 15 if required else draw(st.booleans()):
            content[f.name] = draw(_mostly(valid(f), _wrong(), 15))
    odd = draw(st.integers(0, 24))
    if odd == 0:
        content[draw(st.sampled_from(["colour", "id", "update_mask", "if_match", "version", "", "a/b~c"]))] = draw(
            _wrong()
        )
    encoded = json.dumps(content).encode()
    if odd == 1:
        return encoded[: draw(st.integers(0, len(encoded)))]
    if odd == 2 and content:
        return encoded[:-1] + b"," + encoded[1:]  # every key twice
    return encoded


def _wrong() -> st.SearchStrategy[Any]:
    return st.sampled_from(_WRONG) | st.text(max_size=6)


def _reference(kind: str) -> st.SearchStrategy[str]:
    return st.integers(0, 5).map(lambda number: f"@{kind}:{number}@")


_JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab", max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=4,
)
"""Free-form JSON."""

_BY_NAME: Final[dict[str, st.SearchStrategy[Any]]] = {
    "email": st.sampled_from([ANN, BOB, CAROL, "Ann@Example.com", "dave@example.com", "dave@example"]),
    "password": st.sampled_from([PASSWORD, PASSWORD, PASSWORD, "another correct horse", "short"]),
    "refresh_token": _reference("refresh"),
    "token": _reference("verify"),
    "page_token": _reference("page"),
    "page_size": st.sampled_from([0, 1, 2, 50, 1001]),
}
"""Fields whose valid values no rule can tell."""


@cache
def valid(f: Field) -> st.SearchStrategy[Any]:
    """JSON values that keep the field's rules."""
    if f.name in _BY_NAME:
        return _BY_NAME[f.name]
    rules = f.rules or Rules()
    least, most = rules.min_items or 0, min(rules.max_items or 3, 3)
    if f.key is not None and f.value is not None:
        keys, values = _one(f.key, rules.keys or Rules()), _one(f.value, rules.values or Rules())
        return st.dictionaries(keys, values, min_size=least, max_size=most)
    return st.lists(_one(f, rules), min_size=least, max_size=most) if f.repeated else _one(f, rules)


def _one(f: Field, rules: Rules) -> st.SearchStrategy[Any]:
    if f.message is not None:
        return _message(f.message)
    if f.choices is not None:
        return st.sampled_from([choice.name for choice in f.choices.values])
    if f.kind is Kind.INT:
        least = max(f.bounds[0], -100) if rules.minimum is None else rules.minimum
        return st.integers(least, least + 1000 if rules.maximum is None else rules.maximum)
    if f.kind is Kind.STRING:
        return _text(rules)
    return {Kind.BOOL: st.booleans(), Kind.FLOAT: st.floats(-1e9, 1e9), Kind.BYTES: st.just("AAEC")}[f.kind]


def _message(m: Message) -> st.SearchStrategy[Any]:
    if m.name == STRUCT:
        return st.dictionaries(st.sampled_from("abc"), _JSON, max_size=3)
    if m.name == "google.protobuf.Timestamp":
        return st.datetimes(datetime(2000, 1, 1), timezones=st.just(UTC)).map(datetime.isoformat)
    return st.fixed_dictionaries({}, optional={f.name: _later(f) for f in m.fields})


def _later(f: Field) -> st.SearchStrategy[Any]:
    """`valid`, which a message that contains itself may not ask for at once."""
    return st.deferred(lambda: valid(f))


def _text(rules: Rules) -> st.SearchStrategy[str]:
    if rules.id:
        return _mostly(_reference(rules.id), st.just(f"{rules.id}_{_UNKNOWN_ID}"))
    if rules.pattern:
        return st.from_regex(re.compile(rules.pattern, re.ASCII), fullmatch=True)
    if rules.format is Format.EMAIL:
        return _BY_NAME["email"]
    least = max(rules.min_length or 0, int(rules.required))
    alphabet = st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"])
    short = st.text(alphabet, min_size=least, max_size=max(least, min(rules.max_length or 12, 12)))
    return short if rules.max_length is None else _mostly(short, st.just("ü" * rules.max_length), 15)
