"""How many bytes a message takes on the wire at most, compiled: so that a message too large for a wire is too large in one
process, too, without being encoded to find out.

For `Project` the function is

    def bound_Project(m):
        return (
            196
            + (30 * len(v) + 4 * len(text([*v, *v.values()])) if (v := m.labels) else 0)
            + 4 * (len(m.id) + len(m.name) + ...)
        )

where `text` joins strings, in half of the time in which their lengths are summed up.

A character takes up to four bytes, a number ten, a tag with a length ten: the bound is rough, and costs half of a copy.
Only a message whose bound is above the limit is encoded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from acme.codec.compiler import Compiler
from acme.codec.values import unwrapped
from acme.contract import Field, Kind, Message

_TAG: Final = 10
"""Bytes of a tag and a length, at most."""
_FIXED: Final = 24
"""Bytes of a number, or of a time or a duration with its tags, at most."""
_TIMES: Final = frozenset({"google.protobuf.Timestamp", "google.protobuf.Duration"})


class Sizes(Compiler):
    """Message → an upper bound of its bytes on the wire."""

    verb = "bound"

    def __init__(self) -> None:
        super().__init__(text="".join)

    def exceeds(self, m: Message, limit: int, encode: Callable[[Any], bytes]) -> Callable[[Any], bool]:
        """Whether a message, one that `encode` takes, has more than `limit` bytes."""
        bound = self.function(m)

        def judge(message: Any) -> bool:
            return bound(message) > limit and len(encode(message)) > limit

        return judge

    def lines(self, m: Message) -> Iterable[str]:
        fixed, lengths, terms = 0, [], []
        for f in m.fields:
            v = f"m.{f.attr}"
            entry = f.value or f
            if f.key is not None and f.key.kind is entry.kind is Kind.STRING:
                texts = f"{3 * _TAG} * len(v) + 4 * len(text([*v, *v.values()]))"
                terms.append(f"({texts} if (v := {v}) else 0)")
            elif f.key is not None:
                one = self._sum(_TAG, [self._one(f.key, "k"), self._one(entry, "x")])
                terms.append(f"(sum([{one} for k, x in {v}.items()]) if {v} else 0)")
            elif f.repeated and entry.kind is Kind.STRING:
                terms.append(f"({_TAG} * len(v) + 4 * len(text(v)) if (v := {v}) else 0)")
            elif f.repeated:
                size = self._one(entry, "x")
                one = self._sum(0, [size])
                terms.append(f"{one} * len({v})" if isinstance(size, int) else f"sum([{one} for x in {v}])")
            elif isinstance(size := self._one(entry, v), int):
                fixed += size
            elif f.optional:
                terms.append(f"(0 if {v} is None else {self._sum(0, [size])})")
            elif size.startswith("len("):
                fixed += _TAG
                lengths.append(size)
            else:
                terms.append(self._sum(0, [size]))
        if lengths:
            terms.append(f"4 * ({' + '.join(lengths)})")
        yield f"return {' + '.join([str(fixed), *terms])}"

    def _one(self, f: Field, v: str) -> int | str:
        """Bytes of one value at most: a number, `len(...)` in characters, or a call."""
        if f.message is not None and f.message.name in _TIMES:
            return _TAG + _FIXED
        f = unwrapped(f)
        if f.message is not None:
            return f"{self.call(f.message)}({v})"
        return f"len({v})" if f.kind in (Kind.STRING, Kind.BYTES) else _TAG + _FIXED

    def _sum(self, fixed: int, sizes: Iterable[int | str]) -> str:
        terms = []
        for size in sizes:
            if isinstance(size, int):
                fixed += size
            else:
                fixed += _TAG
                terms.append(f"4 * {size}" if size.startswith("len(") else size)
        return " + ".join([str(fixed), *terms])
