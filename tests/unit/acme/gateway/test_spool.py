"""The spool of the gateway's audit records: what survives, in which order, and how much of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from acme.gateway.spool import Spool

Spools = Callable[..., Spool]

KILLED = """
import os, signal, sys
from pathlib import Path
from acme.gateway.spool import Spool
spool = Spool(Path(sys.argv[1]))
spool.add([b"closed 1", b"closed 2"])
spool.note([b"counted"])
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def spools() -> Iterator[Spools]:
    """Opens spools, and closes them in the end."""
    with ExitStack() as stack:
        yield lambda *args, **named: stack.enter_context(closing(Spool(*args, **named)))


def taken(spool: Spool) -> list[bytes]:
    """All that waits, oldest first; afterwards nothing does."""
    lines: list[bytes] = []
    while (found := spool.oldest()) is not None:
        segment, some = found
        lines += some
        spool.done(segment, len(some))
    return lines


def test_lines_come_out_in_the_order_they_went_in(tmp_path: Path, spools: Spools) -> None:
    spool = spools(tmp_path, segment=20)
    lines = [b"line %d" % number for number in range(40)]
    for line in lines:
        assert spool.add([line]) == 0
    assert spool.pending == 40
    assert len(list(spool.folder.glob("0*.jsonl"))) > 1
    assert taken(spool) == lines
    assert (spool.pending, list(spool.folder.glob("*.jsonl"))) == (0, [])


def test_what_was_handed_over_in_part_goes_on_where_it_stopped(tmp_path: Path, spools: Spools) -> None:
    spool = spools(tmp_path)
    spool.add([b"a", b"b", b"c"])
    found = spool.oldest()
    assert found is not None
    spool.done(found[0], 2)
    assert spool.pending == 1
    assert taken(spool) == [b"c"]


def test_a_process_that_is_killed_leaves_everything_to_the_next(tmp_path: Path, spools: Spools) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False, timeout=30)
    assert done.returncode == -9
    spool = spools(tmp_path)
    assert spool.pending == 3
    assert taken(spool) == [b"closed 1", b"closed 2", b"counted"]


def test_a_line_that_a_crash_tore_is_left_out_and_spoils_no_other(tmp_path: Path, spools: Spools) -> None:
    first = spools(tmp_path)
    first.add([b"whole"])
    first.close()
    [segment] = first.folder.glob("0*.jsonl")
    with segment.open("ab") as file:
        file.write(b'{"torn')
    second = spools(tmp_path)
    second.add([b"next"])
    assert second.pending == 2
    assert taken(second) == [b"whole", b"next"]


def test_a_full_spool_keeps_the_oldest_and_says_what_it_drops(tmp_path: Path, spools: Spools) -> None:
    spool = spools(tmp_path, limit=30)
    assert spool.add([b"0123456789", b"0123456789", b"0123456789"]) == 1
    assert spool.add([b"0123456789"]) == 1
    assert spool.pending == 2
    found = spool.oldest()
    assert found is not None
    spool.done(found[0], 1)
    assert spool.add([b"room again"]) == 0


def test_the_bound_holds_over_a_restart(tmp_path: Path, spools: Spools) -> None:
    spool = spools(tmp_path, limit=30)
    spool.add([b"0123456789"] * 2)
    spool.close()
    assert spools(tmp_path, limit=30).add([b"0123456789"]) == 1


def test_two_processes_have_folders_of_their_own(tmp_path: Path, spools: Spools) -> None:
    one, other = spools(tmp_path), spools(tmp_path)
    assert one.folder != other.folder
    one.add([b"one"])
    other.add([b"other"])
    assert (taken(one), taken(other)) == ([b"one"], [b"other"])


def test_a_process_takes_over_what_others_that_ended_have_left(tmp_path: Path, spools: Spools) -> None:
    one, other = spools(tmp_path), spools(tmp_path)
    one.add([b"one"])
    other.add([b"other"])
    other.note([b"counted"])
    one.close()
    other.close()
    assert taken(spools(tmp_path)) == [b"one", b"other", b"counted"]


def test_what_is_noted_replaces_what_was_noted_before(tmp_path: Path, spools: Spools) -> None:
    spool = spools(tmp_path)
    spool.note([b"first"])
    spool.note([b"second"])
    spool.note([])
    spool.note([b"third"])
    spool.close()
    assert taken(spools(tmp_path)) == [b"third"]


def test_nobody_else_reads_what_waits(tmp_path: Path, spools: Spools) -> None:
    spool = spools(tmp_path)
    spool.add([b"line"])
    [segment] = spool.folder.glob("0*.jsonl")
    assert (segment.stat().st_mode & 0o777, spool.folder.stat().st_mode & 0o777) == (0o600, 0o700)


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path, spools: Spools) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        spools(tmp_path / "file" / "below")
