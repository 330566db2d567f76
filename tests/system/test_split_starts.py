"""The first start of `--split`, where a folder's name is what many a program would stumble over, and its end by a signal."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.running import ACME, Platform, wait_for
from tests.system.test_split import SPLIT, check_all_ended, children, topology


@pytest.fixture
def long_named(tmp_path: Path) -> Iterator[Platform]:
    """A platform that was never started, in a folder that many a program would stumble over."""
    one = Platform(tmp_path / ("a folder with a name " + "x" * 90), *SPLIT, fresh=True)
    yield one
    one.close()


@pytest.mark.drill
def test_in_a_data_folder_with_a_long_name_and_spaces_it_works_and_ends_at_sigterm_gateways_first(
    long_named: Platform,
) -> None:
    one = long_named.start()
    assert one.project(one.join("long@example.com"), "Long")["name"] == "Long"
    assert set(topology(one)) == {"supervisor", "gateway", "users", "projects", "audit"}
    pids = children(one)
    assert one.stop(signal.SIGTERM) == 0
    check_all_ended(one, pids)


@pytest.mark.drill
def test_the_block_for_people_names_the_processes_and_ctrl_c_ends_them_gateways_first(long_named: Platform) -> None:
    own = long_named
    own.folder.mkdir()
    command = [ACME, "up", "--data", str(own.data), *SPLIT]
    shown = own.folder / "shown"
    with shown.open("wb") as screen, (own.folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=own.folder, env=own.environ, stdout=screen, stderr=log)
        try:
            wait_for("the block", lambda: "Ctrl-C" in shown.read_text(), limit=60)
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
    block = shown.read_text()
    assert re.search(r"gateway +process \d+, http://127\.0\.0\.1:\d+", block)
    assert re.search(r"users +process \d+, grpc\+unix://", block)
    assert "Mode: split" in block
    pids = {name: int(pid) for name, pid in re.findall(r"(\w+) +process (\d+), ", block)}
    assert set(pids) == {"gateway", "users", "projects", "audit"}
    check_all_ended(own, pids)
