"""One question at a time for each name."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from acme.tokens.flights import Flights


class Asked:
    """A question that is answered when the test says so."""

    def __init__(self) -> None:
        self.times = 0
        self.answers: asyncio.Queue[Any] = asyncio.Queue()

    async def __call__(self) -> Any:
        self.times += 1
        said = await self.answers.get()
        if isinstance(said, Exception):
            raise said
        return said


async def turns() -> None:
    """Lets every task go as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_those_who_ask_the_same_meanwhile_get_one_answer() -> None:
    flights: Flights[str] = Flights()
    question = Asked()
    waiting = asyncio.gather(*(flights.ask("a", question) for _ in range(5)))
    await turns()
    question.answers.put_nowait("one")
    assert await waiting == ["one"] * 5
    assert question.times == 1


async def test_who_comes_after_the_answer_asks_anew() -> None:
    flights: Flights[str] = Flights()
    question = Asked()
    for answer in ("one", "two"):
        question.answers.put_nowait(answer)
        assert await flights.ask("a", question) == answer
    assert question.times == 2


async def test_questions_by_other_names_do_not_wait() -> None:
    flights: Flights[str] = Flights()
    slow, quick = Asked(), Asked()
    waiting = asyncio.gather(flights.ask("slow", slow))
    await turns()
    quick.answers.put_nowait("quick")
    assert await flights.ask("quick", quick) == "quick"
    slow.answers.put_nowait("slow")
    assert list(await waiting) == ["slow"]


async def test_when_the_asker_is_cancelled_the_next_who_waits_asks() -> None:
    flights: Flights[str] = Flights()
    question = Asked()
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(flights.ask("a", question))
        await turns()
        others = [tasks.create_task(flights.ask("a", question)) for _ in range(3)]
        await turns()
        first.cancel()
        await turns()
        question.answers.put_nowait("one")
    assert [each.result() for each in others] == ["one"] * 3
    assert question.times == 2


async def test_what_a_question_raises_is_its_askers_alone() -> None:
    flights: Flights[str] = Flights()
    question = Asked()
    waiting = asyncio.gather(flights.ask("a", question), flights.ask("a", question), return_exceptions=True)
    await turns()
    question.answers.put_nowait(ValueError("broken"))
    question.answers.put_nowait("one")
    failed, answered = await waiting
    assert isinstance(failed, ValueError)
    assert answered == "one"


async def test_nothing_is_left_behind() -> None:
    flights: Flights[str] = Flights()
    question = Asked()
    question.answers.put_nowait(ValueError("broken"))
    with pytest.raises(ValueError, match="broken"):
        await flights.ask("a", question)
    question.answers.put_nowait("one")
    await flights.ask("a", question)
    assert flights._flights == {}
