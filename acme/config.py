"""Settings: TOML files, then the environment, then the command line, decoded once into frozen types.

    tree = Tree([read_file(Path("acme.toml")), read_environment(os.environ)])
    gateway = tree.section("gateway").decode(GatewaySettings)

A later layer wins, key by key. `ACME_GATEWAY__PORT=9000` sets `port` in `[gateway]`: a double underscore begins the next
part of the path, so variables without one (`ACME_POSTGRES_BIN`) are no settings. Types are `msgspec.Struct`s that live
beside the code they steer, so this module knows none of them; `runtime/settings.py` puts the whole together.

Every mistake is a `ConfigError` that names where the value came from, the path of the key and what is allowed. It never
shows the value, which may be a secret. All mistakes of a section are told at once.
"""

from __future__ import annotations

import difflib
import enum
import re
import tomllib
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import msgspec

T = TypeVar("T")

_PREFIX: Final = "ACME_"
_AT: Final = re.compile(r" - at `\$(.*)`$")


class ConfigError(Exception):
    """The configuration cannot be used. One line of `problems` for each mistake."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class _Text(str):
    """A value of the environment: its meaning follows from the type it is decoded into."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Layer:
    """One source of settings: nested tables, and the name of the source of each key's path."""

    values: Mapping[str, Any]
    name: str
    names: Mapping[tuple[str, ...], str] | None = None

    def origin(self, path: tuple[str, ...]) -> str:
        return (self.names or {}).get(path, self.name)


def read_file(path: Path) -> Layer:
    """Reads a TOML file (1.0, UTF-8).

    Raises:
        ConfigError: it cannot be read, or it is not TOML; with line and column.
    """
    try:
        return Layer(tomllib.loads(path.read_bytes().decode()), str(path))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 (byte {error.start})") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: is not valid TOML: {error}") from error


def read_environment(environ: Mapping[str, str]) -> Layer:
    """The variables `ACME_SECTION__KEY`, as a layer. Names are read without regard to case."""
    values: dict[str, Any] = {}
    names: dict[tuple[str, ...], str] = {}
    for variable in sorted(environ):
        if not variable.upper().startswith(_PREFIX) or "__" not in variable:
            continue
        source = f"environment variable {variable}"
        path = tuple(variable[len(_PREFIX) :].lower().split("__"))
        table = values
        for depth, key in enumerate(path[:-1], 1):
            table = table.setdefault(key, {})
            names.setdefault(path[:depth], source)
            if not isinstance(table, dict):
                raise ConfigError(f"{source}: {'.'.join(path[:depth])} is set as a value as well")
        table[path[-1]] = _Text(environ[variable])
        names[path] = source
    return Layer(values, "the environment", names)


class Tree:
    """Layers merged, later ones over earlier ones, with the origin of every key."""

    def __init__(self, layers: Iterable[Layer]) -> None:
        self._values: dict[str, Any] = {}
        self._origins: dict[tuple[str, ...], str] = {}
        for layer in layers:
            self._merge(self._values, layer.values, (), layer)

    def _merge(self, into: dict[str, Any], values: Mapping[str, Any], path: tuple[str, ...], layer: Layer) -> None:
        for key, value in values.items():
            here = (*path, key)
            if isinstance(value, Mapping):
                table = into.get(key)
                if not isinstance(table, dict):
                    table = into[key] = {}
                    self._origins[here] = layer.origin(here)
                self._merge(table, value, here, layer)
            else:
                into[key] = value
                self._origins[here] = layer.origin(here)

    def section(self, *path: str) -> Section:
        """The table at `path`; empty when no layer has it.

        Raises:
            ConfigError: there is a value where the table belongs.
        """
        values: Any = self._values
        for depth, key in enumerate(path, 1):
            values = values.get(key, {})
            if not isinstance(values, dict):
                origin = self._origins[path[:depth]]
                raise ConfigError(f"{origin}: {'.'.join(path[:depth])}: a table is expected, [{'.'.join(path)}]")
        return Section(values, path, self._origins)

    def sections(self, *path: str) -> dict[str, Section]:
        """The tables below `path`, by name."""
        return {key: self.section(*path, key) for key in self.section(*path)}

    def only(self, allowed: Iterable[str]) -> None:
        """Raises `ConfigError` when there is a top-level table that is not in `allowed`."""
        self.section().only(allowed)


class Section:
    """One table of the configuration, not decoded yet: whoever owns its type decodes it."""

    def __init__(self, values: dict[str, Any], path: tuple[str, ...], origins: Mapping[tuple[str, ...], str]) -> None:
        self._values, self._path, self._origins = values, path, origins

    def __iter__(self) -> Iterator[str]:
        """The keys that are set."""
        return iter(self._values)

    def fault(self, told: str, *key: str) -> str:
        """A line for `ConfigError` on the table, or a key in it: where it came from, its path and what is wrong."""
        here = (*self._path, *key)
        return f"{self._origin(here)}: {_dotted(here)}: {told}"

    def plain(self) -> dict[str, Any]:
        """What is set, not decoded and not checked: to be compared, and not to be used."""
        return _plain(self._values)

    def texts(self) -> dict[str, str]:
        """This table as it stands, for one whose keys are names and whose values are text.

        Raises:
            ConfigError: a value is something else.
        """
        wrong = [
            self.fault("text is expected", key) for key, value in self._values.items() if not isinstance(value, str)
        ]
        if wrong:
            raise ConfigError(*wrong)
        return {key: str(value) for key, value in self._values.items()}

    def only(self, allowed: Iterable[str]) -> None:
        """Raises `ConfigError` when a key is not in `allowed`."""
        known = sorted(allowed)
        problems = [self._unknown(self._path, key, known) for key in self._values if key not in known]
        if problems:
            raise ConfigError(*problems)

    def decode(self, kind: type[T]) -> T:
        """This table as a `kind`, a `msgspec.Struct`; keys left out have its defaults.

        Raises:
            ConfigError: unknown keys, wrong types, broken constraints; all of them.
        """
        problems: list[str] = []
        decoded = self._table(kind, self._values, self._path, problems)
        if problems:
            raise ConfigError(*problems)
        return typing.cast(T, decoded)

    def _table(self, kind: Any, values: Mapping[str, Any], path: tuple[str, ...], problems: list[str]) -> Any:
        hints = typing.get_type_hints(kind, include_extras=True)
        fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
        before = len(problems)
        decoded: dict[str, Any] = {}
        for key, value in values.items():
            here = (*path, key)
            if key not in fields:
                problems.append(self._unknown(path, key, sorted(fields)))
                continue
            hint = hints[fields[key].name]
            if isinstance(hint, type) and issubclass(hint, msgspec.Struct) and isinstance(value, Mapping):
                decoded[fields[key].name] = self._table(hint, value, here, problems)
            else:
                decoded[fields[key].name] = self._value(hint, value, here, problems)
        for key, field in fields.items():
            if field.required and key not in values:
                problems.append(f"{self._origin(path)}: {_dotted((*path, key))}: is missing and has no default")
        if len(problems) > before:
            return None
        try:
            return kind(**decoded)
        except ValueError as error:  # a __post_init__ that checks fields against each other
            problems.append(f"{self._origin(path)}: [{_dotted(path)}]: {error}")
            return None

    def _value(self, hint: Any, value: Any, path: tuple[str, ...], problems: list[str]) -> Any:
        try:
            return _convert(hint, value)
        except msgspec.ValidationError as error:
            message, inner = str(error), ""
            if (found := _AT.search(message)) is not None:
                message, inner = message[: found.start()], found[1]
            if choices := _choices(hint):
                message = f"must be one of {', '.join(choices)}"
            problems.append(f"{self._origin(path)}: {_dotted(path)}{inner}: {message.replace('`', '')}")
            return None

    def _unknown(self, path: tuple[str, ...], key: str, allowed: list[str]) -> str:
        close = difflib.get_close_matches(key, allowed, n=3)
        meant = f" Did you mean {' or '.join(close)}?" if close else ""
        where = f"in [{_dotted(path)}]" if path else "at the top"
        here = (*path, key)
        return f"{self._origin(here)}: {_dotted(here)}: unknown key.{meant} Allowed {where}: {', '.join(allowed)}"

    def _origin(self, path: tuple[str, ...]) -> str:
        while path and path not in self._origins:
            path = path[:-1]
        return self._origins.get(path, "the configuration")


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _plain(value) if isinstance(value, Mapping) else str(value) if isinstance(value, _Text) else value
        for key, value in values.items()
    }


def _dotted(path: tuple[str, ...]) -> str:
    return ".".join(path)


def _convert(hint: Any, value: Any) -> Any:
    if not isinstance(value, _Text):
        return msgspec.convert(value, hint)
    try:
        return msgspec.convert(str(value), hint)
    except msgspec.ValidationError:
        try:
            parsed = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            parsed = str(value)
        return msgspec.convert(parsed, hint)


def _choices(hint: Any) -> list[str]:
    """The values a Literal or an enumeration allows; empty for other types."""
    if typing.get_origin(hint) is Literal:
        return [str(value) for value in typing.get_args(hint)]
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return [str(member.value) for member in hint]
    return []
