"""The control socket answers lines of JSON, and says what it does not understand."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from acme.runtime import control
from acme.runtime.control import Late, Silent, Unknown, ask
from acme.runtime.runfolder import RunFolder


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[RunFolder]:
    one = RunFolder(tmp_path)
    yield one
    one.close()


@pytest.fixture
async def file(folder: RunFolder) -> AsyncIterator[str]:
    async with control.serve(folder, "control", {"topology": lambda: {"pid": 1}}) as name:
        yield name


async def say(folder: RunFolder, file: str, *lines: bytes) -> list[object]:
    """The answers to some lines on one connection."""
    reader, writer = await asyncio.open_unix_connection(folder.socket(file))
    try:
        answers: list[object] = []
        for line in lines:
            writer.write(line + b"\n")
            answers.append(json.loads(await reader.readline()))
        return answers
    finally:
        writer.close()


async def test_a_command_is_answered(folder: RunFolder, file: str) -> None:
    assert file == "control.sock"
    assert await ask(folder, file, "topology") == {"pid": 1}


async def test_what_is_no_command_is_told_and_the_connection_goes_on(folder: RunFolder, file: str) -> None:
    broken, unknown, known = await say(folder, file, b"hello", b'{"do": "dance"}', b'{"do": "topology"}')
    assert broken == {"error": 'a line of JSON is expected, such as {"do": "topology"}'}
    assert unknown == {"unknown": "dance", "error": "there is no command 'dance'; there are: topology"}
    assert known == {"ok": {"pid": 1}}


async def test_a_command_is_told_its_arguments(folder: RunFolder) -> None:
    async with control.serve(folder, "control-sum", {"sum": lambda a, b: a + b}) as file:
        assert await ask(folder, file, "sum", {"a": 1, "b": 2}) == 3
        with pytest.raises(Unknown, match="'dance'"):
            await ask(folder, file, "dance", {"a": 1})


async def test_an_answer_that_is_an_error_is_told_to_whoever_asks(folder: RunFolder, file: str) -> None:
    with pytest.raises(Silent, match="there is no command"):
        await ask(folder, file, "dance")


async def test_only_the_owner_may_use_it(folder: RunFolder, file: str) -> None:
    assert (folder.path / file).stat().st_mode & 0o777 == 0o600


async def test_nobody_there_is_told(folder: RunFolder) -> None:
    with pytest.raises(Silent, match=r"nobody\.sock: no answer"):
        await ask(folder, "nobody.sock", "topology")


async def test_a_process_that_hangs_counts_as_silent(folder: RunFolder) -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_unix_server(hang, folder.socket("hanging.sock")):
        with pytest.raises(Silent, match=r"hanging\.sock: no answer"):
            await ask(folder, "hanging.sock", "topology", limit=0.05)


async def test_two_processes_of_one_name_have_a_socket_each(folder: RunFolder, file: str) -> None:
    async with control.serve(folder, "control", {"topology": lambda: {"pid": 2}}) as second:
        assert second == "control-2.sock"
        assert await ask(folder, second, "topology") == {"pid": 2}
    assert folder.controls() == [file]


async def test_a_line_without_an_end_is_not_gathered_for_ever(folder: RunFolder, file: str) -> None:
    reader, writer = await asyncio.open_unix_connection(folder.socket(file))
    writer.write(b"x" * (control.LONGEST + 1))
    assert await reader.read() == b""
    writer.close()
    assert await ask(folder, file, "topology") == {"pid": 1}


async def test_one_that_listens_and_does_not_answer_is_late_and_one_that_is_gone_is_not(folder: RunFolder) -> None:
    with socket.socket(socket.AF_UNIX) as stuck:
        stuck.bind(folder.socket("control-stuck.sock"))
        stuck.listen()
        with pytest.raises(Late, match=r"control-stuck\.sock: no answer within 0\.05 s"):
            await ask(folder, "control-stuck.sock", "alive", limit=0.05)
    with pytest.raises(Silent) as caught:
        await ask(folder, "control-stuck.sock", "alive")
    assert not isinstance(caught.value, Late)
