"""Proving a password: the one place where attempts are counted and passwords compared."""

from __future__ import annotations

from acme import Denied, Refused, Unavailable, audit, current, work
from acme_users.passwords import Passwords
from acme_users.throttles import Throttles


class Proof:
    """What log-in, step-up and the change of a password have in common."""

    def __init__(self, throttles: Throttles, passwords: Passwords) -> None:
        self._throttles, self._passwords = throttles, passwords

    async def prove(self, account: str, user_id: str, kept: bytes | None, password: str, wrong: Refused) -> None:
        """Returns when `kept`, of the account with this address key, was made of this password; `None` is of none.

        One computation in any case, outside of any unit of work. A failure counts, and is in the audit log, when this
        raises: the same statements whether there is such an account (`user_id`) or not (""). A success is the end of all
        that counted.

        Raises:
            Refused: it was not: `wrong`, which is one that commits.
            Exhausted: too many attempts; this one was not looked at.
            Unavailable: too many computations at the moment.
        """
        address = current().address
        refusal = await self._throttles.admit(account, address)
        try:
            matched = await self._passwords.matches(kept if refusal is None else None, password)
        except Unavailable:
            if refusal is None:
                await self._throttles.take_back(account)
            raise
        if refusal is not None:
            raise refusal
        if matched:
            await self._throttles.forget(account)
            return
        audit.about(target=user_id, subject=user_id)
        async with work():
            await self._throttles.failed(account, address)
            raise wrong


def wrong_password(*, commit: bool = False) -> Refused:
    """The answer to a wrong password of somebody whose access token is good: 401 would say that the token is not."""
    return Denied("The password is wrong.", reason="invalid_credentials", commit=commit)
