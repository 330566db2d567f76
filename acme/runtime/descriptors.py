"""How many files and connections the process may have open."""

from __future__ import annotations

import resource
from typing import Final

ENOUGH: Final = 1_048_576
"""More than Linux lets a process have, if nobody says otherwise (fs.nr_open)."""


def raise_limit() -> int:
    """Raises the soft limit of open files to the hard one: shells leave it at 1024, for programs that use select(2), which
    nothing here does. Returns what holds now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):  # the kernel's own limit is lower than what it calls the hard one, as on macOS
            return soft
        return wanted
    return soft
