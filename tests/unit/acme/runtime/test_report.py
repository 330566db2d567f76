"""What a process tells of itself."""

from __future__ import annotations

import subprocess
import sys
import time

from acme.runtime.report import age

LIMIT = 10.0


def test_the_age_is_that_of_the_process() -> None:
    code = "from acme.runtime.report import age; print(age())"
    before = time.monotonic()
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT, check=True)
    assert 0 < float(ended.stdout) < time.monotonic() - before + 0.02  # the kernel counts in ticks of 10 ms
    assert age() > float(ended.stdout)
