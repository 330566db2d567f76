"""A service that streams, of the stranger's contract tests/protos/blobs: for tests of streams in every placement."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from typing import Any

from acme import authorise, current
from acme.errors import Conflict, NotFound
from tests.trial import PACKAGE

CHUNK = 256 * 1024
CHANGED = "Sat, 01 Aug 2026 10:00:00 GMT"


def file(size: int) -> bytes:
    """What the files of the service hold."""
    return (bytes(range(251)) * (size // 251 + 1))[:size]


def module() -> Any:
    """The generated module; once the fixture `trial` has made it."""
    return __import__(f"{PACKAGE}.blobs.v1", fromlist=["*"])


def body(kind: str, data: bytes) -> Any:
    """A `google.api.HttpBody`."""
    from acme.contracts.google.api import HttpBody

    return HttpBody(content_type=kind, data=data)


def make() -> Any:
    """An instance of the service. It counts what it made and took; `stored` has what was put."""
    m = module()

    class Blobs(m.BlobsBase):  # type: ignore[misc, name-defined]  # generated while the tests run
        def __init__(self) -> None:
            self.produced = 0
            self.taken = 0
            self.ended: list[str] = []
            """How each stream ended: "whole", "cancelled", "closed" or a class of error."""
            self.fail_at = -1
            self.decides = True
            self.stored: dict[str, tuple[int, str, str]] = {}
            self.digests: dict[str, str] = {}
            self.contexts: list[Any] = []
            self.hook: Any = None
            self.version = 7
            self.padding = 0
            self.asked: list[int] = []
            """From which byte on each file was read."""

        def _decide(self) -> None:
            if self.decides:
                current().decided = True

        async def put(self, message: AsyncIterator[Any]) -> Any:
            size, name, kind, note, digest = 0, "", "", "", hashlib.sha256()
            self._decide()
            try:
                async for one in message:
                    if not self.taken:
                        name, kind, note = one.name, one.content.content_type, one.note
                    self.taken += 1
                    size += len(one.content.data)
                    digest.update(one.content.data)
                    if self.hook is not None:
                        await self.hook(one)
                self.ended.append("whole")
            except BaseException as error:
                self.ended.append(type(error).__name__)
                raise
            self.stored[name] = size, kind, note
            self.digests[name] = digest.hexdigest()
            return m.Blob(name=name, size=size, content_type=kind, note=note)

        async def get(self, message: Any) -> AsyncIterator[Any]:
            """`name` is "SIZE", "SIZE-" to say nothing of its length, or "SIZE+" to lie about it."""
            self._decide()
            size = int(message.name.rstrip("+-"))
            length = {"-": 0, "+": size + 1}.get(message.name[-1], size)
            if size < 0:
                raise NotFound("There is no such blob.")
            chunk = b"x" * CHUNK
            try:
                for at in range(0, size, CHUNK) if size else (0,):
                    if self.produced == self.fail_at:
                        raise Conflict("It has gone.", reason="gone")
                    if self.hook is not None:
                        await self.hook(at)
                    content = body("text/plain", chunk[: min(CHUNK, size - at)])
                    reply = m.GetReply(content=content)
                    if not self.produced:
                        reply.length, reply.note = length, "a note"
                    self.produced += 1
                    yield reply
                self.ended.append("whole")
            except BaseException as error:
                self.ended.append(type(error).__name__)
                raise

        async def echo(self, message: AsyncIterator[Any]) -> AsyncIterator[Any]:
            async for one in message:
                yield m.GetReply(content=body("text/plain", one.content.data))

        async def read(self, message: Any) -> AsyncIterator[Any]:
            """`name` is the size of the file, with "-" behind it where the service says nothing of it."""
            self._decide()
            size, first = int(message.name.rstrip("-")), message.first
            self.asked.append(first)
            content = file(size)
            try:
                for at in range(max(0, size + first) if first < 0 else min(first, size), size + 1, CHUNK):
                    reply = m.ReadReply(content=body("text/plain", content[at : at + CHUNK]))
                    reply.length = 0 if "-" in message.name else size
                    reply.version, reply.changed = self.version, CHANGED
                    self.produced += 1
                    yield reply
                self.ended.append("whole")
            except BaseException as error:
                self.ended.append(type(error).__name__)
                raise

        async def watch(self, message: Any) -> AsyncIterator[Any]:
            """Ticks 1 to `count`, after the one that was seen."""
            if self.hook is not None:
                await self.hook(0)
            self._decide()
            try:
                for value in range(int(message.after or 0) + 1, message.count + 1):
                    if value == self.fail_at:
                        raise Conflict("No more.", reason="no_more")
                    self.produced += 1
                    yield m.Tick(id=str(value), text="é\n" + "x" * self.padding)
                    if self.hook is not None:
                        await self.hook(value)
                self.ended.append("whole")
            except BaseException as error:
                self.ended.append(type(error).__name__)
                raise

        async def put_small(self, message: Any) -> Any:
            content = message.content
            return m.Blob(name=message.name, size=len(content.data), content_type=content.content_type)

        async def get_small(self, message: Any) -> Any:
            return body("image/png", message.name.encode())

        async def count(self, message: Any) -> AsyncIterator[Any]:
            try:
                for value in range(message.count):
                    if value == self.fail_at:
                        raise Conflict("No more.", reason="no_more", retry_after=2)
                    if self.hook is not None:
                        await self.hook(value)
                    self.produced += 1
                    self.contexts.append(current())
                    yield m.Number(value=value, padding=b"x" * message.size)
                self.ended.append("whole")
            except BaseException as error:
                self.ended.append(type(error).__name__)
                raise

        async def sum(self, message: AsyncIterator[Any]) -> Any:
            total = 0
            try:
                async for number in message:
                    self.taken += 1
                    self.contexts.append(current())
                    total += number.value
                    if self.hook is not None:
                        await self.hook(number.value)
                    if number.value == self.fail_at:
                        raise Conflict("Enough.", reason="enough")
                self.ended.append("whole")
            except BaseException as error:
                self.ended.append(type(error).__name__)
                raise
            return m.Number(value=total)

        async def double(self, message: AsyncIterator[Any]) -> AsyncIterator[Any]:
            async for number in message:
                self.taken += 1
                yield m.Number(value=number.value * 2)

        async def guarded(self, message: Any) -> AsyncIterator[Any]:
            if self.hook is not None:
                await self.hook(None)
            if self.decides:
                authorise.own("blobs.read")
            for value in range(message.count):
                self.produced += 1
                yield m.Number(value=value)

    return Blobs()
