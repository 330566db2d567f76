"""Says everything that is wrong with a JSON body, after the fast path has refused it. Runs on the way to a refusal only, so
it walks the contract instead of being compiled from it.

No message ever repeats a value: what was sent may be a password. Keys appear, inside of pointers.
"""

from __future__ import annotations

import enum
import json
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from acme.codec.values import allowed, is_single, json_bounds, json_type, unwrapped, well_known
from acme.contract import Field, Kind, Message
from acme.errors import Fault, Malformed

DEPTH: Final = 64
"""How deep objects and arrays may be nested; the body itself is 1."""

_MOST_FAULTS: Final = 100
_LONGEST_KEY: Final = 100
_LONGEST_NUMBER: Final = 400
"""Digits; no field holds as many, and Python's own limit would refuse a few thousand."""


class _Odd(enum.Enum):
    """What `json.loads` would hand over as a float that is none."""

    NOT_A_NUMBER = enum.auto()
    HUGE = enum.auto()


class _Object(dict[str, Any]):
    """A JSON object that remembers which keys it had twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.twice = _repeated(key for key, _ in pairs) if len(self) != len(pairs) else ()


def _repeated(keys: Iterable[str]) -> tuple[str, ...]:
    return tuple(key for key, times in Counter(keys).items() if times > 1)


def explain(body: bytes, m: Message, exclude: frozenset[str] = frozenset()) -> tuple[Fault, ...]:
    """All faults of a body that should be a message `m`, without the fields in `exclude`; at most 100.

    Raises:
        Malformed: it is not JSON at all.
    """
    explainer = _Explainer()
    try:
        explainer.message(m, _parsed(body), "", 1, exclude)
    except RecursionError:
        explainer.add("", "depth", f"must not be nested deeper than {DEPTH} levels")
    return tuple(explainer.faults)


def explain_object(body: bytes) -> tuple[Fault, ...]:
    """The same of any JSON object, as a google.protobuf.Struct that is the whole body holds it."""
    explainer = _Explainer()
    try:
        value = _parsed(body)
        if isinstance(value, _Object):
            explainer.free(value, "", 0)
        else:
            explainer.add("", *explainer.odd(value, "an object"))
    except RecursionError:
        explainer.add("", "depth", f"must not be nested deeper than {DEPTH} levels")
    return tuple(explainer.faults)


def token(key: str) -> str:
    """A key as a reference token of a JSON Pointer (RFC 6901), in valid Unicode and of bounded length."""
    text = key.encode("utf-8", "replace").decode().replace("~", "~0").replace("/", "~1")
    return text if len(text) <= _LONGEST_KEY else text[:_LONGEST_KEY] + "…"


def _parsed(body: bytes) -> Any:
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise Malformed(f"the body is not UTF-8 at byte {error.start}", reason="malformed_json") from None
    try:
        return json.loads(
            text,
            object_pairs_hook=_Object,
            parse_constant=lambda _: _Odd.NOT_A_NUMBER,
            parse_float=_float,
            parse_int=lambda digits: int(digits) if len(digits) < _LONGEST_NUMBER else _Odd.HUGE,
        )
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise Malformed(f"the body is not valid JSON: {place}", reason="malformed_json") from None


def _float(digits: str) -> float | _Odd:
    number = float(digits)
    return number if abs(number) != float("inf") else _Odd.HUGE


class _Explainer:
    """Walks a parsed body beside its contract."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def add(self, pointer: str, code: str, message: str) -> None:
        if len(self.faults) < _MOST_FAULTS:
            self.faults.append(Fault(pointer, code, message))

    def message(self, m: Message, value: Any, at: str, depth: int, exclude: frozenset[str] = frozenset()) -> None:
        """`value` should be an object with the fields of `m`."""
        if not isinstance(value, _Object):
            self.add(at, *self.odd(value, "an object"))
            return
        if not self._keys(value, at, depth):
            return
        fields = {f.name: f for f in m.fields if f.name not in exclude}
        for key, item in value.items():
            if key in fields:
                self.field(fields[key], item, f"{at}/{key}", depth)
            else:
                self.add(f"{at}/{token(key)}", "unknown_field", "there is no such field")
        for name, members in m.oneofs.items():
            given = [f.name for f in members if value.get(f.name) is not None and f.name in fields]
            if len(given) > 1:
                self.add(at, "oneof", f"{name}: only one of {', '.join(given)} may be given")

    def field(self, f: Field, value: Any, at: str, depth: int) -> None:
        """`value` is what an object holds for the field; null stands for nothing."""
        if value is None:
            return
        if f.key is not None and f.value is not None:
            self._map(f.key, f.value, value, at, depth + 1)
        elif f.repeated:
            if not isinstance(value, list):
                self.add(at, *self.odd(value, "an array"))
            elif self._shallow(at, depth + 1):
                for index, item in enumerate(value):
                    self.one(f, item, f"{at}/{index}", depth + 1)
        else:
            self.one(f, value, at, depth)

    def one(self, f: Field, value: Any, at: str, depth: int) -> None:
        """`value` should be one value of the field; `depth` is that of what holds it."""
        known = well_known(f)
        if f.message is not None and known is None and unwrapped(f) is f:
            self.message(f.message, value, at, depth + 1)
        elif known is not None and known.plain is not str:
            if isinstance(value, known.plain):
                self.free(value, at, depth)
            else:
                self.add(at, *self.odd(value, known.allowed))
        else:
            self._scalar(unwrapped(f), value, at)

    def free(self, value: Any, at: str, depth: int) -> None:
        """Any JSON value, as google.protobuf.Struct and its like hold it."""
        if isinstance(value, _Object):
            if self._keys(value, at, depth + 1):
                for key, item in value.items():
                    self.free(item, f"{at}/{token(key)}", depth + 1)
        elif isinstance(value, list):
            if self._shallow(at, depth + 1):
                for index, item in enumerate(value):
                    self.free(item, f"{at}/{index}", depth + 1)
        elif isinstance(value, str):
            self._text(value, at)
        elif value is _Odd.NOT_A_NUMBER:
            self.add(at, *self.odd(value, "any value"))
        elif value is _Odd.HUGE or (type(value) is int and not _converts(value, float)):
            self.add(at, "range", "must be a number of 64 bits")

    def _map(self, keys: Field, values: Field, value: Any, at: str, depth: int) -> None:
        if not isinstance(value, _Object):
            self.add(at, *self.odd(value, "an object"))
        elif self._keys(value, at, depth):
            for key, item in value.items():
                here = f"{at}/{token(key)}"
                if keys.kind is not Kind.STRING and not _is_key(keys, key):
                    self.add(here, "type", f"the key must be {allowed(keys)}")
                self.one(values, item, here, depth)

    def _scalar(self, f: Field, value: Any, at: str) -> None:
        match f.kind, value:
            case (Kind.BOOL, bool()) | (Kind.STRING, str()):
                fits = True
            case (Kind.INT | Kind.FLOAT, _Odd.HUGE):
                fits = True
                self.add(at, "range", f"must be {allowed(f)}")
            case Kind.INT, int() if not isinstance(value, bool):
                low, high = json_bounds(f)
                fits = True
                if not low <= value <= high:
                    self.add(at, "range", f"must be {allowed(f)}")
            case Kind.FLOAT, int() | float() if not isinstance(value, bool):
                fits = True
                if not _converts(value, json_type(f)):
                    self.add(at, "range", f"must be a number of {32 if is_single(f) else 64} bits")
            case Kind.ENUM, str():
                fits = True
                if not _converts(value, json_type(f)):
                    self.add(at, "enum", f"must be {allowed(f)}")
            case (Kind.BYTES | Kind.MESSAGE, str()):
                fits = True
                if not _reads(f, value):
                    self.add(at, "format", f"must be {allowed(f)}")
            case _:
                fits = False
        if not fits:
            self.add(at, *self.odd(value, allowed(f)))
        if isinstance(value, str):
            self._text(value, at)

    def odd(self, value: Any, wanted: str) -> tuple[str, str]:
        """Code and message for a value of the wrong type."""
        if value is _Odd.NOT_A_NUMBER:
            return "not_a_number", "JSON has no NaN and no infinity"
        return "type", f"must be {wanted}"

    def _keys(self, value: _Object, at: str, depth: int) -> bool:
        """Looks at an object's keys; whether to look at its values too."""
        for key in value.twice:
            self.add(f"{at}/{token(key)}", "duplicate_key", "must be given once")
        for key in value:
            self._text(key, f"{at}/{token(key)}")
        return self._shallow(at, depth)

    def _shallow(self, at: str, depth: int) -> bool:
        if depth > DEPTH:
            self.add(at, "depth", f"must not be nested deeper than {DEPTH} levels")
        return depth <= DEPTH

    def _text(self, text: str, at: str) -> None:
        if "\0" in text:
            self.add(at, "nul", "must not contain the character U+0000")
        try:
            text.encode()
        except UnicodeEncodeError:
            self.add(at, "surrogate", "must not contain half of a surrogate pair (\\ud800 to \\udfff)")


def _is_key(f: Field, key: str) -> bool:
    """Whether a key is one of a map with integer or boolean keys."""
    if f.kind is Kind.BOOL:
        return key in ("true", "false")
    low, high = json_bounds(f)
    try:
        return str(int(key)) == key and low <= int(key) <= high
    except ValueError:
        return False


def _reads(f: Field, text: str) -> bool:
    """Whether a string can be read as bytes or as a google type that JSON writes as a string."""
    known = well_known(f)
    try:
        value = msgspec.convert(text, json_type(f))
        if known is not None:
            known.read(value)
    except ValueError:
        return False
    return True


def _converts(value: Any, wanted: Any) -> bool:
    try:
        msgspec.convert(value, wanted)
    except (ValueError, OverflowError):
        return False
    return True
