"""The one declared canonicaliser: what of an answer, of an event and of a database may differ between two runs, and no more.

    ids                  ordinal of first appearance, by type prefix: `<prj 1>`
    spans                ordinal of first appearance, in what W3C's traceparent says: `<span 2>`; the trace stays
    times                rank among all times of the text: `<time 3>`
    tokens, signatures   dropped, by the name of their field: `<access_token>`; what is sealed or hashed: `<bytes>`
    Date, RateLimit      dropped: when it was, and what the address of the client had left just then
    Content-Length       dropped once it was found to be that of the body

Everything else stays as it is, byte for byte: status, header names and values (versions and ETags with them), the order and
the spelling of the body, request ids, which tests choose.
"""

from __future__ import annotations

import asyncio
import difflib
import json
import re
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final

from acme.codec.avro import Avro
from acme.codec.json import Json
from acme.contract import Contracts
from acme.drivers import postgres
from acme.ports import Statements
from acme.tasks import Tasks
from acme.telemetry import Metrics
from acme.testing import Reply
from acme.testing.databases import FreshDatabase

_ID: Final = re.compile(r"\b([a-z]{1,16})_[0-7][0-9a-hjkmnp-tv-z]{25}\b")
_SPAN: Final = re.compile(r"\b(00-[0-9a-f]{32})-([0-9a-f]{16})-(0[01])\b")
_TIME: Final = re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d(?::?\d\d)?)")
_TOKEN: Final = re.compile(r'"(access_token|refresh_token|next_page_token)":\s?"[^"]+"')
_BYTES: Final = re.compile(r'"\\\\x[0-9a-f]+"')
_QUERY: Final = re.compile(r"\bpage_token=[^&\s]+")
_KEY: Final = re.compile(r"\bkid [\w-]{43}")


def canonical(text: str) -> str:
    """A transcript with what may differ replaced. Give it whole: ordinals and ranks are the text's."""
    text = _TOKEN.sub(r'"\1":"<\1>"', text)
    text = _QUERY.sub("page_token=<page_token>", text)
    text = _KEY.sub("kid <kid>", text)
    text = _BYTES.sub('"<bytes>"', text)
    seen: defaultdict[str, dict[str, str]] = defaultdict(dict)

    def ordinal(found: re.Match[str]) -> str:
        known = seen[found[1]]
        return known.setdefault(found[0], f"<{found[1]} {len(known) + 1}>")

    text = _ID.sub(ordinal, text)
    spans = {name: number for number, name in enumerate(dict.fromkeys(name for _, name, _ in _SPAN.findall(text)), 1)}
    text = _SPAN.sub(lambda found: f"{found[1]}-<span {spans[found[2]]}>-{found[3]}", text)
    moments = {found: moment for found in _TIME.findall(text) if (moment := _moment(found)) is not None}
    ranks = {moment: f"<time {rank}>" for rank, moment in enumerate(sorted(set(moments.values())), 1)}
    return _TIME.sub(lambda found: ranks[moments[found[0]]] if found[0] in moments else found[0], text)


def _moment(text: str) -> int | None:
    """Microseconds since 1970; `None` for what only looks like a time, such as the 30th of February."""
    try:
        return round(datetime.fromisoformat(text).timestamp() * 1e6)
    except (ValueError, OverflowError):
        return None


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[FreshDatabase]:
    """A plugin's database (`Platform.database`), to look at."""
    async with Tasks("looking", Metrics()) as tasks:
        pool = await postgres.open(url, size=1, tasks=tasks)
        try:
            yield FreshDatabase(url, pool)
        finally:
            await pool.close()


async def settled(send: Callable[[], Awaitable[Reply]]) -> Reply:
    """Sends, and sends again for 10 seconds while the answer is that tokens cannot be checked right now.

    So says a process that was not told of revocations for a second, because the machine was busy or the test's own event
    loop stood still: it is no matter of the placement, and such a request has done nothing.
    """
    until = time.monotonic() + 10
    while b'"tokens_unavailable"' in (reply := await send()).body and time.monotonic() < until:  # noqa: ASYNC110 - no event
        await asyncio.sleep(0.02)
    return reply


def answer(reply: Reply) -> str:
    """An answer as text: status, headers by name, body. Not canonical yet."""
    headers = sorted((name.lower(), value) for name, value in reply.headers.items())
    kept = []
    for name, value in headers:
        if name == "content-length" and value == str(len(reply.body)):
            continue
        if name not in ("date", "ratelimit"):  # when it was, and what the client's address has left just then
            kept.append(f"  {name}: {value}")
    body = reply.body.decode("utf-8", "backslashreplace").replace(
        ',"', ',\n  "'
    )  # in lines, for diffs that can be read
    return "\n".join([f"  {reply.status}", *kept, f"  {body}"])


class Published:
    """Reads the outbox of any plugin as text: every column, the payload as JSON. Not canonical yet."""

    def __init__(self, contracts: Contracts) -> None:
        self._messages = contracts.messages
        self._avro, self._json = Avro(contracts), Json(contracts)

    async def read(self, database: Statements) -> list[str]:
        """A text each row, in the order they were published in."""
        rows = await database.fetch(
            "SELECT topic, key, type, payload, headers::text AS headers, created_at FROM acme.outbox ORDER BY id"
        )
        return [self._text(dict(row)) for row in rows]

    def _text(self, row: dict[str, Any]) -> str:
        message = self._messages[row["type"]]
        avro: bytes = row["payload"]
        decoded = self._avro.decode(avro)
        if self._avro.encoder(message)(decoded) != avro:
            raise AssertionError(f"the payload of a {message.name} is not what its contract makes of it: {avro!r}")
        payload = self._json.encoder(message)(decoded).decode()
        lines = [f"{row['topic']} {row['key']} {row['type']} at {row['created_at'].isoformat()}"]
        lines += [f"  {name}: {value}" for name, value in sorted(json.loads(row["headers"]).items())]
        return "\n".join([*lines, "  " + payload.replace(',"', ',\n  "')])


def difference(one: str, other: str, names: Sequence[str]) -> str:
    """ "" when two canonical texts are equal; else where they differ, under these names."""
    if one == other:
        return ""
    lines = difflib.unified_diff(one.splitlines(), other.splitlines(), names[0], names[1], n=8, lineterm="")
    return "\n".join(lines) or f"they differ in line ends only: {one!r}\n{other!r}"
