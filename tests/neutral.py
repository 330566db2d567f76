"""Random messages of any contract, for property tests: plain values, and what ours and protobuf's classes make of them.

Our codecs and protobuf's own are given the same plain values: a dict by field name in which absent means unset. Both sides
are filled by the simple code below, which shares nothing with `acme/codec`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

from acme.contract import Field, Kind, Message

SAFE = 2**53 - 1
DEEPEST = 2
MOST_FIELDS = 6
WRAPPERS = (
    "DoubleValue",
    "FloatValue",
    "Int64Value",
    "UInt64Value",
    "Int32Value",
    "UInt32Value",
    "BoolValue",
    "StringValue",
)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
TIMES = st.datetimes(timezones=st.just(UTC))
SPANS = st.timedeltas(timedelta(seconds=-315_576_000_000), timedelta(seconds=315_576_000_000))
PATHS = st.lists(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), max_size=3)


@cache
def plain_messages(m: Message, *, for_json: bool, depth: int = 0) -> st.SearchStrategy[dict[str, Any]]:
    """Plain values of a message: some of its fields. With `for_json`, only what JSON can say: known names of enums, integers
    up to 2^53 - 1, no infinities."""
    if m.name == "google.protobuf.FieldMask":
        return PATHS.map(lambda paths: {"paths": paths} if paths else {})
    fields = [f for f in m.fields if not (depth >= DEEPEST and nests(f))]

    @st.composite
    def plain(draw: st.DrawFn) -> dict[str, Any]:
        # A google.protobuf.Value with nothing chosen is no JSON.
        least, most = (1, 1) if m.name == "google.protobuf.Value" else (0, MOST_FIELDS)
        picked = draw(st.lists(st.sampled_from(fields), min_size=least, max_size=most, unique_by=_alone))
        return {f.name: draw(values(f, for_json, depth)) for f in picked}

    return plain() if fields else st.just({})


def _alone(f: Field) -> str:
    """Equal for the members of a oneof, of which one may be given."""
    return f"oneof {f.oneof}" if f.oneof else f.name


def nests(f: Field) -> bool:
    """Whether the field holds messages with messages inside."""
    message = (f.value or f).message
    return message is not None and any((inner.value or inner).message for inner in message.fields)


@cache
def values(f: Field, for_json: bool, depth: int) -> st.SearchStrategy[Any]:
    """Plain values of a field."""
    if f.key is not None and f.value is not None:
        return st.dictionaries(one(f.key, for_json, depth), one(f.value, for_json, depth), max_size=3)
    return st.lists(one(f, for_json, depth), max_size=3) if f.repeated else one(f, for_json, depth)


def one(f: Field, for_json: bool, depth: int) -> st.SearchStrategy[Any]:
    """Plain values of one entry of a field."""
    if f.message is not None:
        name = f.message.name.removeprefix("google.protobuf.")
        if name == "Timestamp":
            return TIMES
        if name == "Duration":
            return SPANS
        if name in (*WRAPPERS, "BytesValue"):
            return one(f.message.fields[0], for_json, depth)
        return plain_messages(f.message, for_json=for_json, depth=depth + 1)
    if f.choices is not None:
        known = st.sampled_from([choice.number for choice in f.choices.values])
        return known if for_json or len(f.choices.values) == 1 else known | st.integers(-(2**31), 2**31 - 1)
    if f.kind is Kind.INT:
        low, high = f.bounds
        return st.integers(max(low, -SAFE), min(high, SAFE)) if for_json else st.integers(low, high)
    if f.kind is Kind.FLOAT:
        width = 32 if f.descriptor.type == f.descriptor.TYPE_FLOAT else 64
        return st.floats(width=width, allow_nan=False, allow_infinity=not for_json)  # type: ignore[arg-type]  # 32 or 64
    return {Kind.BOOL: st.booleans(), Kind.STRING: TEXT, Kind.BYTES: st.binary(max_size=12)}[f.kind]


def ours(m: Message, plain: dict[str, Any]) -> Any:
    """The plain values as a message of our generated class."""
    given = {f.attr: _ours(f, plain[f.name]) for f in m.fields if f.name in plain}
    return m.cls(**given)


def _ours(f: Field, value: Any) -> Any:
    if f.value is not None:
        return {key: _ours_one(f.value, item) for key, item in value.items()}
    return [_ours_one(f, item) for item in value] if f.repeated else _ours_one(f, value)


def _ours_one(f: Field, value: Any) -> Any:
    if f.choices is not None:
        return f.choices.cls(value)
    return ours(f.message, value) if f.message is not None and isinstance(value, dict) else value


def theirs(m: Message, plain: dict[str, Any]) -> Any:
    """The plain values as a message of protobuf's own class."""
    made = GetMessageClass(m.descriptor)()
    _fill(m, plain, made)
    return made


def _fill(m: Message, plain: dict[str, Any], target: Any) -> None:
    for f in m.fields:
        if f.name not in plain:
            continue
        value = plain[f.name]
        if f.value is not None:
            for key, item in value.items():
                if f.value.message is not None:
                    _put(f.value, item, getattr(target, f.name)[key])
                else:
                    getattr(target, f.name)[key] = item
        elif f.repeated:
            for item in value:
                if f.message is not None:
                    _put(f, item, getattr(target, f.name).add())
                else:
                    getattr(target, f.name).append(item)
        elif f.message is not None:
            getattr(target, f.name).SetInParent()
            _put(f, value, getattr(target, f.name))
        else:
            setattr(target, f.name, value)


def _put(f: Field, value: Any, target: Any) -> None:
    assert f.message is not None
    if isinstance(value, datetime):
        target.FromDatetime(value)
    elif isinstance(value, timedelta):
        target.FromTimedelta(value)
    elif isinstance(value, dict):
        _fill(f.message, value, target)
    else:
        target.value = value
