"""What is dead: sessions and opaque tokens that have ended, and subjects' tokens below an epoch."""

from __future__ import annotations

from typing import Final

from acme.errors import Unauthenticated

AGAIN: Final = "Log in, or refresh the session, and send the new access token."


class Revocations:
    """Everything is remembered until the last token it concerns has expired, and is in the order of arrival."""

    def __init__(self) -> None:
        self._sessions: dict[str, float] = {}
        """When to forget; likewise below, after the epoch."""
        self._epochs: dict[str, tuple[int, float]] = {}

    def end(self, session: str, *, until: float) -> None:
        """Nothing of this session, or of the opaque token of this id, is good any more."""
        self._sessions.pop(session, None)
        self._sessions[session] = until

    def raise_epoch(self, subject: str, epoch: int, *, until: float) -> int:
        """No JWT of this subject with a lower epoch is good any more; returns the highest that was ever said."""
        epoch = max(epoch, self._epochs.pop(subject, (0, 0.0))[0])
        self._epochs[subject] = (epoch, until)
        return epoch

    def check(self, session: str, subject: str = "", epoch: int = 0) -> None:
        """Raises `Unauthenticated` (`token_revoked`) for a token that is dead. Without `subject` no epoch is looked at."""
        if session in self._sessions or epoch < self._epochs.get(subject, (epoch, 0.0))[0]:
            raise Unauthenticated(f"The access token has been revoked. {AGAIN}", reason="token_revoked")

    def forget(self, now: float) -> None:
        """Drops what concerns no token any more."""
        while self._sessions and next(iter(self._sessions.values())) < now:
            del self._sessions[next(iter(self._sessions))]
        while self._epochs and next(iter(self._epochs.values()))[1] < now:
            del self._epochs[next(iter(self._epochs))]
