"""Verified tokens and whom they stand for, kept until they expire or something of it changes."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from acme.context import Principal


class Principals:
    """At most `limit`; the oldest goes when one more comes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: dict[str, Principal] = {}
        self._of_session: dict[str, set[str]] = {}
        self._of_subject: dict[str, set[str]] = {}
        self.get = self._kept.get
        """The principal of a token, perhaps an expired one. The dictionary's own method: every request asks it."""

    def __contains__(self, token: object) -> bool:
        return token in self._kept

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, token: str, principal: Principal) -> None:
        """As the youngest."""
        self._drop(token)
        while len(self._kept) >= self._limit:
            self._drop(next(iter(self._kept)))
        self._kept[token] = principal
        self._of_session.setdefault(principal.session, set()).add(token)
        self._of_subject.setdefault(principal.id, set()).add(token)

    def drop_session(self, session: str) -> None:
        """All tokens of a session; or the opaque one of this id."""
        for token in tuple(self._of_session.get(session, ())):
            self._drop(token)

    def drop_epochs(self, subject: str, epoch: int) -> None:
        """A subject's tokens below an epoch."""
        for token in tuple(self._of_subject.get(subject, ())):
            if self._kept[token].epoch < epoch:
                self._drop(token)

    def drop_granted(self, subjects: AbstractSet[str], organizations: AbstractSet[str]) -> None:
        """All tokens of these subjects, and of the members of these organisations, of which there is no index: it would
        cost every request that is verified, and saves a few milliseconds now and then."""
        for subject in subjects:
            for token in tuple(self._of_subject.get(subject, ())):
                self._drop(token)
        if organizations:
            members = [token for token, of in self._kept.items() if not organizations.isdisjoint(of.memberships)]
            for token in members:
                self._drop(token)

    def clear(self) -> None:
        self._kept.clear()
        self._of_session.clear()
        self._of_subject.clear()

    def _drop(self, token: str) -> None:
        principal = self._kept.pop(token, None)
        if principal is None:
            return
        for index, name in ((self._of_session, principal.session), (self._of_subject, principal.id)):
            index[name].discard(token)
            if not index[name]:
                del index[name]
