"""What can go wrong with a call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from acme.errors import Fault


class Problem(Exception):
    """The platform has answered, and it is no success: RFC 9457."""

    def __init__(self, status: int, body: Mapping[str, Any], retry_after: float | None = None) -> None:
        self.status = status
        """HTTP status."""
        self.code = str(body.get("code", ""))
        """What it is, for programs, such as "version_mismatch"; "" where something between here and there has answered."""
        self.detail = str(body.get("detail") or body.get("title") or "")
        """What it is, for people."""
        self.request_id = str(body.get("request_id", ""))
        """Name it when you ask for help."""
        self.faults = tuple(
            Fault(str(fault.get("pointer", "")), str(fault.get("code", "")), str(fault.get("detail", "")))
            for fault in body.get("errors", ())
            if isinstance(fault, dict)
        )
        """What is wrong with the arguments, each with a JSON Pointer."""
        self.retry_after = retry_after
        """Seconds after which it may be worth another try; `None` when nothing is said."""
        super().__init__(f"{status} {self.code}: {self.detail}")

    @classmethod
    def of(cls, status: int, body: bytes, retry_after: str | None) -> Problem:
        """From an answer; whatever its body is."""
        try:
            said = msgspec.json.decode(body)
        except ValueError:
            said = None
        seconds = float(retry_after) if retry_after is not None and retry_after.isdecimal() else None
        return cls(status, said if isinstance(said, dict) else {}, seconds)


class Unreachable(Exception):
    """There was no answer, or none in time. A change may have been made; repeated with its key, it is made once."""
