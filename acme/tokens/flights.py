"""One question at a time: whoever asks the same while it is being asked waits for that answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class _Flight(Generic[T]):
    __slots__ = ("answers", "lock")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.answers: list[T] = []


class Flights(Generic[T]):
    """Questions on their way, by name. One that is cancelled is asked again by the next who waits for it."""

    def __init__(self) -> None:
        self._flights: dict[str, _Flight[T]] = {}

    async def ask(self, name: str, question: Callable[[], Awaitable[T]]) -> T:
        """The answer to `question`, or to that of whoever asked by this name before and still waits.

        `question` says in its answer that it failed; what it raises only its own asker sees, and the next one asks.
        """
        flight = self._flights.get(name)
        if flight is None:
            flight = self._flights[name] = _Flight()
        async with flight.lock:
            if not flight.answers:
                try:
                    flight.answers.append(await question())
                finally:
                    # Who comes from now on asks anew; those who wait have this one in their hands.
                    if self._flights.get(name) is flight:
                        del self._flights[name]
            return flight.answers[0]
