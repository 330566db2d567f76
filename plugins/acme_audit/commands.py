"""What operators call: `acme audit verify` and `acme audit erase`."""

from __future__ import annotations

import argparse
import getpass
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from acme import Resources, audit, work
from acme_audit.keys import SubjectKeys
from acme_audit.store import SubjectStore
from acme_audit.verify.run import Asked, verify

WRONG = 64
"""Exit status of arguments that mean nothing (EX_USAGE of sysexits.h), which is none of a verification's."""

_SUBJECT: Final = re.compile(r"usr_[0-9a-z]{26}|anonymous/[0-9]{4}-(?:0[1-9]|1[0-2])")


async def verify_command(resources: Resources[Any], arguments: Sequence[str]) -> int:
    """`acme audit verify`. The exit status is `Status`, or 64 for wrong arguments."""
    parser = _Parser(prog="acme audit verify", description="Recomputes the audit log from the bytes that are kept.")
    parser.add_argument("--log", default="", help='only this log, such as "us-east/org_…"; all, when left out')
    parser.add_argument("--from", dest="start", type=_number, default=0, help="number of the first record (0)")
    parser.add_argument("--to", dest="end", type=_number, help="number of the last record")
    parser.add_argument("--checkpoint", type=Path, help="file with a checkpoint that was kept elsewhere")
    parser.add_argument("--offline", action="store_true", help="look at the database alone, not at the object store")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    try:
        given = parser.parse_args(list(arguments))
        kept = given.checkpoint.read_text() if given.checkpoint is not None else ""
        asked = Asked(given.log, given.start, given.end, given.offline, kept)
        report = await verify(resources, asked)
    except _Ended as ended:
        return ended.status
    except (OSError, ValueError) as error:
        print(f"acme audit verify: {error}")
        return WRONG
    print(json.dumps(report.plain()) if given.json else "\n".join(report.lines()))
    return int(report.status)


async def erase_command(resources: Resources[Any], arguments: Sequence[str]) -> int:
    """`acme audit erase`: 0, also where there was nothing left to erase."""
    parser = _Parser(prog="acme audit erase", description="Destroys the key of a subject's personal data, for good.")
    parser.add_argument(
        "subject", type=_subject, help='whose: "usr_…", or "anonymous/2026-01" for a month\'s unknown callers'
    )
    try:
        given = parser.parse_args(list(arguments))
    except _Ended as ended:
        return ended.status
    database = resources.database
    async with work():
        destroyed = await SubjectKeys(SubjectStore(database), resources.cipher, resources.clock).destroy(given.subject)
        audit.add("audit.erase", targets=[given.subject], operator=getpass.getuser())
    print("The key is destroyed." if destroyed else "It was destroyed before.")
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


def _subject(text: str) -> str:
    """What a record's personal data may be kept under (`keys.subject_of`): a slip of the pen erases nobody, and would be
    told as done."""
    if _SUBJECT.fullmatch(text) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a user's id nor anonymous/YEAR-MONTH")
    return text


def _number(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError
    return number
