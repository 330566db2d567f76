"""Writes Python functions for message types and compiles them: the one place that knows how code is made.

A projection of messages (JSON reader, wire encoder, rules ...) is a subclass of `Compiler` that says, in `lines`, which
statements make up the function of one message. Statements reach other objects by the name `bind` gives, and the function of
another message by the name `call` gives. Everything is compiled on first demand, together with what it needs: a message
nobody sends costs nothing, and a message may contain itself.

The written source is known to `linecache`, so that tracebacks and debuggers show it.
"""

from __future__ import annotations

import linecache
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from types import CodeType
from typing import Any, ClassVar

from acme.contract import Choices, Message


class Compiler(ABC):
    """One function for each message type."""

    verb: ClassVar[str]
    """Begins the names of its functions, such as "read" of `read_Project`."""
    parameters: ClassVar[str] = "m"
    """Parameters of every function."""

    def __init__(self, **names: object) -> None:
        self._names: dict[str, Any] = {"new": object.__new__, **names}
        self._of_message: dict[str, str] = {}
        self._bound: dict[int, str] = {}
        self._source: list[str] = []

    @abstractmethod
    def lines(self, m: Message) -> Iterable[str]:
        """The statements of the function of `m`, without indentation of their own."""

    def function(self, m: Message) -> Callable[..., Any]:
        """The function of `m`."""
        return self.compiled(self.call(m))

    def call(self, m: Message) -> str:
        """The name of the function of `m`, which is written when nobody asked before."""
        name = self._of_message.get(m.name)
        if name is None:
            name = self._of_message[m.name] = self.free(f"{self.verb}_{m.descriptor.name}")
            self.write(name, self.lines(m))
        return name

    def write(self, name: str, lines: Iterable[str]) -> None:
        """Writes one function. It can be called from now on, and exists after `compiled`."""
        self._source.append("\n".join([f"def {name}({self.parameters}):", *indented(lines), ""]))

    def compiled(self, name: str) -> Callable[..., Any]:
        """A function that was written, after compiling everything that was."""
        if self._source:
            source, self._source = "\n".join(self._source), []
            file = f"<{type(self).__module__} {name}>"
            linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
            exec(_code(source, file), self._names)  # noqa: S102  # names come from contracts, values never do
        function: Callable[..., Any] = self._names[name]
        return function

    def bind(self, value: Any, name: str) -> str:
        """The name by which written code reaches `value`: `name`, or something like it when that is taken."""
        bound = self._bound.get(id(value))
        if bound is None:
            bound = self._bound[id(value)] = self.free(name)
            self._names[bound] = value
        return bound

    def table(self, choices: Choices, make: Callable[[Choices], Any]) -> str:
        """The name of what `make` makes of an enum, once."""
        key = id(choices)
        if key not in self._bound:
            self._bound[key] = self.bind(make(choices), f"{self.verb}_{choices.cls.__name__}")
        return self._bound[key]

    def free(self, name: str) -> str:
        """A name like `name` that is not taken, and is from now on."""
        wanted, number = name, 1
        while wanted in self._names:
            number += 1
            wanted = f"{name}_{number}"
        self._names[wanted] = None
        return wanted


@cache
def _code(source: str, file: str) -> CodeType:
    """Compiled once: in a process that makes one platform after another (the test kit's), all say the same of a message."""
    return compile(source, file, "exec")


def indented(lines: Iterable[str]) -> Iterator[str]:
    """The lines as a block of the statement above them."""
    return (f"    {line}" for line in lines)
