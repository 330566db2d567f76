"""`acme up --split`: each line of the log names its process."""

from __future__ import annotations

import io
import json

from acme.cli.split import Lines
from tests.unit.acme.cli.command import Command


def written(*lines: bytes, as_text: bool) -> list[str]:
    stream = io.StringIO()
    for line in lines:
        Lines(stream, as_text=as_text).write("users-1", line)
    return stream.getvalue().splitlines()


def test_text_has_the_name_before_it() -> None:
    assert written(b"ready\r", "f\u00fcr".encode(), as_text=True) == ["users-1      ready", "users-1      für"]


def test_a_line_of_json_stays_one_and_gets_the_name() -> None:
    (line,) = written(b'{"event": "ready", "level": "info"}', as_text=False)
    assert json.loads(line) == {"process": "users-1", "event": "ready", "level": "info"}


def test_any_other_line_becomes_json() -> None:
    lines = written(b"Traceback:", b"", b"{}", b'  File "x"\xff', as_text=False)
    assert [json.loads(line)["event"] for line in lines] == ["Traceback:", "{}", '  File "x"\N{REPLACEMENT CHARACTER}']


def test_processes_go_on_when_nobody_reads_their_log() -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    Lines(Gone(), as_text=True).write("users-1", b"ready")


def test_the_overlay_of_the_working_directory_is_read(acme: Command) -> None:
    (acme.folder / "config").mkdir()
    (acme.folder / "config" / "split.toml").write_text("[split]\nworkres = 2\n")
    ended = acme("up", "--split")
    assert ended.code == 1
    assert "config/split.toml: split.workres: unknown key. Did you mean workers?" in ended.err
