"""A process that archives what is due, and is killed on the way (`kill -9`): for tests of what it leaves behind.

    python -m tests.archive_process URL FOLDER WHERE NUMBER

WHERE: "before" or "after" the NUMBER-th object is created, or "within": when its content is on the disk, and its name not.
"never" lets it end by itself.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from datetime import datetime
from pathlib import Path

from acme.drivers.files import Files
from tests.archives import shelf


class Deadly(Files):
    """A folder in which creating an object kills the process."""

    def __init__(self, folder: Path, where: str, number: int) -> None:
        super().__init__(folder)
        self._where, self._left = where, number

    async def create(self, name: str, content: bytes, *, locked_until: datetime | None = None) -> None:
        """Creates it, or not."""
        self._left -= 1
        if not self._left and self._where == "before":
            _die()
        if not self._left and self._where == "within":
            os.link = lambda *_, **__: _die()
        await super().create(name, content, locked_until=locked_until)
        if not self._left and self._where == "after":
            _die()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def main(url: str, folder: Path, where: str, number: int) -> None:
    """Archives all that is due."""
    async with shelf(url, folder, Deadly(folder / "objects", where, number)) as made:
        await made.run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])))
