"""The control socket: what operators ask a running process, by file permission and not over any network.

JSON lines over a Unix socket (0600, in the 0700 folder DATA/run): a request `{"do": "topology"}`, with `arguments` where
the command takes some, an answer `{"ok": …}` or `{"error": "…"}`, as many as the caller likes. `acme topology` asks every
process whose socket is there.
"""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import msgspec

from acme.runtime.runfolder import RunFolder

LIMIT: Final = 2.0
"""Seconds an answer may take before the process counts as silent."""
LONGEST: Final = 1 << 20
"""Bytes of a line."""


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line from the caller."""

    do: str
    """Name of the command."""
    arguments: Mapping[str, Any] = {}
    """What it is told, by name."""


class Silent(Exception):
    """The process does not answer; the text is for people."""


class Unknown(Silent):
    """It has no such command."""


class Late(Silent):
    """It listens, and has not answered in time: it hangs, or is very busy."""


@asynccontextmanager
async def serve(folder: RunFolder, name: str, commands: Mapping[str, Callable[..., Any]]) -> AsyncIterator[str]:
    """Answers on the socket `name` (or `name-2`, when a living process has it) inside the block; yields its file name.

    `commands` by name; each returns what JSON can carry, or an awaitable of it.
    """
    file = folder.vacant(name)
    writers: set[asyncio.StreamWriter] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        try:
            while line := await reader.readline():
                writer.write(msgspec.json.encode(await _answer(line, commands)) + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):
            pass  # the caller has gone, or sends more than a line holds
        finally:
            writers.discard(writer)
            writer.close()

    listener = await asyncio.start_unix_server(answer, folder.socket(file), limit=LONGEST)
    os.chmod(folder.path / file, 0o600)
    try:
        yield file
    finally:
        listener.close()
        for writer in tuple(writers):
            writer.close()
        (folder.path / file).unlink(missing_ok=True)


async def _answer(line: bytes, commands: Mapping[str, Callable[..., Any]]) -> dict[str, Any]:
    try:
        request = msgspec.json.decode(line, type=Request)
    except msgspec.MsgspecError:
        return {"error": 'a line of JSON is expected, such as {"do": "topology"}'}
    command = commands.get(request.do)
    if command is None:
        return {
            "unknown": request.do,
            "error": f"there is no command {request.do!r}; there are: {', '.join(sorted(commands))}",
        }
    answer = command(**request.arguments)
    return {"ok": await answer if inspect.isawaitable(answer) else answer}


async def ask(
    folder: RunFolder, file: str, command: str, arguments: Mapping[str, Any] | None = None, *, limit: float = LIMIT
) -> Any:
    """The answer of the process that listens on the socket `file`.

    Raises:
        Silent: nobody listens there; Late: there is no answer within `limit` seconds; Unknown: it has no such command.
    """
    try:
        async with asyncio.timeout(limit):
            reader, writer = await asyncio.open_unix_connection(folder.socket(file), limit=LONGEST)
            try:
                writer.write(msgspec.json.encode(Request(command, arguments or {})) + b"\n")
                answer = msgspec.json.decode(await reader.readline() or b"{}")
            finally:
                writer.close()
                with suppress(ConnectionError):
                    await writer.wait_closed()
    except TimeoutError as error:
        raise Late(f"{file}: no answer within {limit:g} s") from error
    except (OSError, ValueError) as error:
        raise Silent(f"{file}: no answer ({error or type(error).__name__})") from error
    if "unknown" in answer:
        raise Unknown(f"{file}: {answer['error']}")
    if "ok" not in answer:
        raise Silent(f"{file}: {answer.get('error', 'no answer')}")
    return answer["ok"]
