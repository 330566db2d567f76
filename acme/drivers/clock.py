"""Clocks: `system:` and `movable:PATH`.

The movable clock is the system's plus an offset that lives in a small memory-mapped file, so that a test moves the time of
every process that opened the same file, at the cost of reading eight bytes.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

_OFFSET: Final = struct.Struct("<d")


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    time = staticmethod(time.time)


class MovableClock:
    """The machine's clock plus an offset in seconds, shared through a file."""

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if os.fstat(descriptor).st_size < _OFFSET.size:
                os.ftruncate(descriptor, _OFFSET.size)
            self._map = mmap.mmap(descriptor, _OFFSET.size)
        finally:
            os.close(descriptor)

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.time(), UTC)

    def time(self) -> float:
        offset: float = _OFFSET.unpack(self._map)[0]
        return time.time() + offset

    def advance(self, by: timedelta) -> None:
        """Moves the clock, backwards when `by` is negative. One mover at a time."""
        offset: float = _OFFSET.unpack(self._map)[0]
        self._map[:] = _OFFSET.pack(offset + by.total_seconds())

    def close(self) -> None:
        """Lets go of the file."""
        self._map.close()
