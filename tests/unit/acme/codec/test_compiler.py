"""Functions are written once, compiled on demand, and seen by tracebacks."""

from __future__ import annotations

import traceback
from collections.abc import Iterable

import pytest

from acme.codec.compiler import Compiler
from acme.contract import Message, load

CONTRACTS = load("acme.contracts")
RULES = CONTRACTS.messages["acme.options.v1.Rules"]
EVENT = CONTRACTS.messages["acme.options.v1.Event"]


class Naming(Compiler):
    """Says the name of a message and of the messages in it, itself included."""

    verb = "name"
    written = 0

    def lines(self, m: Message) -> Iterable[str]:
        self.written += 1
        inner = [self.call(f.message) for f in m.fields if f.message is not None]
        yield f"return [{m.descriptor.name!r}, {', '.join(f'{name}.__name__' for name in inner)}]"


class Failing(Compiler):
    verb = "fail"

    def lines(self, m: Message) -> Iterable[str]:
        yield "return 1 / 0  # by design"


def test_a_message_may_contain_itself() -> None:
    assert Naming().function(RULES)(None) == ["Rules", "name_Rules", "name_Rules"]


def test_a_function_is_written_once() -> None:
    naming = Naming()
    assert naming.function(EVENT) is naming.function(EVENT)
    assert naming.written == 1


def test_messages_of_one_name_get_functions_of_their_own() -> None:
    naming = Naming()
    first, second = CONTRACTS.messages["google.protobuf.Any"], RULES
    assert naming.call(first) != naming.call(second)


def test_bound_values_keep_apart_and_equal_ones_are_bound_once() -> None:
    naming = Naming()
    one, two = object(), object()
    assert naming.bind(one, "thing") == naming.bind(one, "thing") == "thing"
    assert naming.bind(two, "thing") == "thing_2"


def test_tracebacks_show_the_written_line() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        Failing().function(EVENT)(None)
    assert "return 1 / 0  # by design" in "".join(traceback.format_exception(caught.value))
