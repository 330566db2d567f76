"""Typed ids: `prj_01h455vb4pex5vsknk084sn02q`, a type prefix and a UUIDv7 in Crockford's base 32 (TypeID 0.3).

UUIDv7 (RFC 9562) begins with milliseconds of the Clock, so ids sort by creation, and a B-tree grows at its end.
"""

from __future__ import annotations

import os
import re
from typing import Final

from acme.ports import Clock

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS: Final = [a + b for a in _ALPHABET for b in _ALPHABET]
_SHAPE: Final = re.compile(r"[a-z]{1,16}_[0-7][0-9a-hjkmnp-tv-z]{25}")


def new_id(prefix: str, clock: Clock) -> str:
    """A new id with `prefix` (1 to 16 lower-case letters). 62 bits are random.

    The 12 bits after the milliseconds are their fraction (RFC 9562, section 6.2, method 3): ids made one after the other
    sort in that order, down to 0.24 µs.
    """
    ticks = int(clock.time() * 4_096_000)
    random = int.from_bytes(os.urandom(8), "big") & (1 << 62) - 1
    number = ticks >> 12 << 80 | 0x7 << 76 | (ticks & 0xFFF) << 64 | 0b10 << 62 | random
    pairs = _PAIRS
    text = "".join([pairs[number >> shift & 0x3FF] for shift in range(120, -1, -10)])
    return f"{prefix}_{text}"


def is_id(text: str, prefix: str) -> bool:
    """Whether `text` has the shape of an id with this prefix."""
    return text.startswith(prefix + "_") and _SHAPE.fullmatch(text) is not None
