"""The limit of open files."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
from acme.runtime.descriptors import raise_limit
print(raise_limit(), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def limits(soft: int, hard: int) -> list[int]:
    """What a process says that begins with these."""
    command = [sys.executable, "-c", SCRIPT.format(soft=soft, hard=hard)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [int(each) for each in told.split()]


def test_a_process_may_have_as_many_open_as_it_can_get() -> None:
    assert limits(256, 600) == [600, 600, 600]


def test_what_is_as_high_as_it_can_be_stays() -> None:
    assert limits(600, 600) == [600, 600, 600]
