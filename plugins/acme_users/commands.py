"""What operators call: `acme users rotate-keys`."""

from __future__ import annotations

import argparse
import getpass
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from acme import Conflict, Resources
from acme_users.signing import LEAD, SHORTEST_LEAD, SPAN, SigningKeys
from acme_users.store import AuthorityStore

WRONG: Final = 2
"""Exit status of arguments that mean nothing."""
_LONGEST: Final = 86_400


async def rotate_keys_command(resources: Resources[Any], arguments: Sequence[str]) -> int:
    """`acme users rotate-keys`: 0 done, 1 a successor is waiting, 2 wrong arguments."""
    parser = _Parser(prog="acme users rotate-keys", description="Makes a new key that signs access tokens.")
    parser.add_argument(
        "--lead",
        type=_seconds,
        default=LEAD,
        metavar="SECONDS",
        help=f"in how many seconds it begins to sign; until then it is only published ({LEAD.total_seconds():.0f})",
    )
    parser.add_argument(
        "--withdraw",
        action="store_true",
        help="somebody has got a key: believe none of them any more; everybody has to refresh, and nobody to log in again",
    )
    try:
        given = parser.parse_args(list(arguments))
    except _Ended as ended:
        return ended.status
    keys = SigningKeys(AuthorityStore(resources.database), resources.clock, resources.cipher)
    operator = getpass.getuser()
    if given.withdraw:
        made = await keys.withdraw(operator=operator)
        print(f"Key {made.kid} signs from now on. Access tokens of all keys before it are refused within a second.")
        return 0
    try:
        made = await keys.succeed(given.lead, operator=operator)
    except Conflict as conflict:
        print(f"acme users rotate-keys: {conflict.message}")
        return 1
    print(f"Key {made.kid} is published, and signs from {made.not_before:%Y-%m-%d %H:%M:%S} UTC on.")
    print(
        f"Tokens of its predecessor are good until they expire; it is deleted after {made.not_before + SPAN:%H:%M} UTC."
    )
    return 0


class _Ended(Exception):
    """The parser has said all there is to say."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class _Parser(argparse.ArgumentParser):
    """Ends itself, not the process."""

    def exit(self, status: int = 0, message: str | None = None) -> Any:
        """Raises `_Ended`."""
        if message:
            print(message, end="")
        raise _Ended(WRONG if status else 0)


def _seconds(text: str) -> timedelta:
    least = int(SHORTEST_LEAD.total_seconds())
    if not text.isdecimal() or not least <= int(text) <= _LONGEST:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of seconds from {least} to {_LONGEST}")
    return timedelta(seconds=int(text))
