"""Which passwords may be chosen: NIST SP 800-63B-4, section 3.1.1.2, where the password is the only factor.

At least 15 code points after NFKC, at most 1,024 bytes, and no rules on what it is made of. The whole password must not be

- one that is common (`blocklist.py`);
- the account's own address or name, the name of the service, or those and nothing but digits and signs beside them;
- a short unit repeated (abcabcabc…), or little more than runs (aaaa…, 123456…, zyxw…).

Whoever is refused is told which, so that the next choice is a better one. Nothing here says how strong a password is.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Final

from acme import Fault, Invalid
from acme_users.blocklist import Blocklist, fold

SHORTEST: Final = 15
"""Code points after NFKC."""
LONGEST: Final = 1024
"""Bytes of UTF-8 after NFKC."""
LEAST: Final = 8
"""Code points that have to be left of a password once repetitions and runs are counted for what they are: what SP 800-63B-4
asks where there is another factor."""

_WORD: Final = 3
"""Code points of the shortest name that counts: nobody's initial makes a password worse."""
_RUN: Final = 3
"""Neighbours in a row from which on it is a run, of which only begin and length have to be guessed."""


class Choice:
    """The rules, for one service."""

    def __init__(self, blocklist: Blocklist, service: Iterable[str]) -> None:
        """`service`: names of the service, such as its host."""
        self._blocklist = blocklist
        self._service = tuple(service)

    def check(self, password: str, own: Iterable[str], *, pointer: str) -> None:
        """Returns when somebody may choose it whose addresses and names are `own`.

        Raises:
            Invalid: with a fault at `pointer` whose code is the rule: `min_length`, `max_bytes`, `common_password`,
                `personal_password` or `trivial_password`.
        """
        if broken := self._broken(password, own):
            code, message = broken
            raise Invalid("Choose another password.", faults=[Fault(pointer, code, message)])

    def _broken(self, password: str, own: Iterable[str]) -> tuple[str, str] | None:
        normal = unicodedata.normalize("NFKC", password)
        if len(normal) < SHORTEST:
            few = f"A password has at least {SHORTEST} characters; any are allowed, a few words make a good one."
            return "min_length", few
        if len(normal.encode()) > LONGEST:
            return "max_bytes", f"A password has at most {LONGEST} bytes of UTF-8 once normalised (NFKC)."
        folded = fold(normal)
        if trivial(folded):
            return "trivial_password", "This password repeats itself or counts up: a few words make a better one."
        if personal(folded, (*own, *self._service)):
            return "personal_password", "This password is made of the account's address or name, or of the service's."
        if normal in self._blocklist:
            return "common_password", "This password is on a list of common ones, which is where a thief begins."
        return None


def trivial(folded: str) -> bool:
    """Whether fewer than `LEAST` code points of it have to be guessed."""
    return _unit(folded) < LEAST or _without_runs(folded) < LEAST


def personal(folded: str, names: Iterable[str]) -> bool:
    """Whether nothing but digits and signs is left without the names and their words."""
    words = {word for name in names for word in _words(fold(name)) if len(word) >= _WORD}
    rest = folded
    for word in sorted(words, key=len, reverse=True):
        rest = rest.replace(word, " ")
    return rest != folded and not any(character.isalpha() for character in rest)


def _words(name: str) -> Iterable[str]:
    """A name as it is, without what parts it, and its parts: ann.lee@example.com, annleeexamplecom, ann, lee, …"""
    parted = "".join(character if character.isalnum() else " " for character in name).split()
    local = name.partition("@")[0]
    return (name, local, "".join(parted), *parted)


def _unit(text: str) -> int:
    """Length of the shortest string that gives the text when repeated, the last time perhaps in part (Knuth, Morris and
    Pratt's failure function)."""
    borders = [0] * len(text)
    border = 0
    for place in range(1, len(text)):
        while border and text[place] != text[border]:
            border = borders[border - 1]
        border += text[place] == text[border]
        borders[place] = border
    return len(text) - borders[-1]


def _without_runs(text: str) -> int:
    """Length of the text where a run, such as aaaa, 2345 or zyx, counts as two."""
    length = begin = 0
    while begin < len(text):
        end = begin + 1
        while end < len(text) and _step(text, end) == _step(text, begin + 1) is not None:
            end += 1
        run = end - begin >= _RUN
        length += 2 if run else 1
        begin = end if run else begin + 1
    return length


def _step(text: str, place: int) -> int | None:
    """1, 0 or -1 from the character before to the one at this place, 9 and 0 being neighbours; `None`: they are not."""
    step = ord(text[place]) - ord(text[place - 1])
    wrapped = {"90": 1, "09": -1}.get(text[place - 1 : place + 1], step)
    return wrapped if -1 <= wrapped <= 1 else None
