"""Replays dead letters where the plugin runs, once an operator has asked for it (`acme events dlq replay`).

The letters of a key are handled in their order, each in a unit of work of its own: the handler's effect and the end of the
letter commit together. With the last one the key is free. The first failure ends the replay of that key.
"""

from __future__ import annotations

from typing import Final

from acme.bus import dead_letters, inbox
from acme.bus.consumer import Attempt, Failure, Handling, Heard
from acme.bus.partition import LOST
from acme.ports import Clock, Row
from acme.telemetry import logger

log: Final = logger(__name__)


class Replayer:
    """Carries out the replays of one consumer. Several processes may: each letter is one's."""

    def __init__(self, handling: Handling, clock: Clock) -> None:
        self._handling, self._clock = handling, clock

    async def turn(self) -> None:
        """Replays all that is wanted, as far as that is possible now."""
        while await self.next():
            pass

    async def next(self) -> bool:
        """Replays one letter. False: there is none, or it cannot be done now."""
        handling = self._handling
        letter = await dead_letters.next_replay(handling.units.database, handling.name)
        if letter is None:
            return False
        if letter["begun"] > handling.consumer.attempts:
            return await self._failed(letter, Failure(LOST, "", True))
        mail = handling.reader.wanted(inbox.received(letter))
        heard = handling.read(mail) if mail is not None else None
        if isinstance(heard, Failure):
            return await self._failed(letter, heard)
        return await self._replay(letter, heard)

    async def _replay(self, letter: Row, heard: Heard | None) -> bool:
        """`heard` is None when the consumer does not want such events any more: then nothing but the letter ends."""
        name, held = self._handling.name, False

        async def perform(attempt: Attempt) -> None:
            nonlocal held
            held = await dead_letters.hold_for_replay(attempt.unit, name, letter)
            if not held:
                await dead_letters.replay_put_off(attempt.unit, letter["id"])
                return
            if heard is not None:
                await self._handling.handle(attempt, [heard])
            await dead_letters.remove(attempt.unit, name, [letter["id"]])

        failure = await self._handling.attempt([heard] if heard is not None else [], perform)
        if failure is not None:
            return await self._failed(letter, failure)
        if held:
            log.info("event replayed", consumer=name, event_id=letter["event_id"], letter=letter["id"])
        return held

    async def _failed(self, letter: Row, failure: Failure) -> bool:
        async def perform(attempt: Attempt) -> None:
            if failure.counts:
                now = self._clock.now()
                await dead_letters.replay_failed(attempt.unit, letter["id"], failure.error, failure.fingerprint, now)
            else:
                await dead_letters.replay_ended(attempt.unit, letter["id"])

        await self._handling.attempt([], perform)
        return failure.counts
