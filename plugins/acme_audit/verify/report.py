"""What a verification finds."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any


class Status(IntEnum):
    """How bad it is; the numbers are exit statuses."""

    OK = 0
    TAMPERED = 1
    """What is kept contradicts itself, or what was signed."""
    INCOMPLETE = 2
    """Something is missing."""
    UNANCHORED = 3
    """It fits together, and nothing outside of the database vouches for it."""


@dataclass(slots=True)
class Fault:
    """The first of its kind in a log."""

    status: Status
    kind: str
    """What does not fit: "bytes", "gap" and the like. See README."""
    log: str
    sequence: int | None
    """Number of the first bad record; `None` where it is about none."""
    text: str
    count: int = 1
    """How many of the kind there are."""

    def line(self) -> str:
        """For people."""
        place = f"{self.log} " if self.log else ""
        place += f"record {self.sequence} " if self.sequence is not None else ""
        more = f" (and {self.count - 1:,} more)" if self.count > 1 else ""
        return f"{self.status.name.lower():10}  {place}{self.kind}: {self.text}{more}"


@dataclass(slots=True)
class Report:
    """Everything that was found, and how much was looked at."""

    logs: int = 0
    records: int = 0
    checkpoints: int = 0
    archived: int = 0
    """Files in the object store."""
    seconds: float = 0.0
    _faults: dict[tuple[str, str], Fault] = field(default_factory=dict)

    def add(self, status: Status, kind: str, log: str, sequence: int | None, text: str) -> None:
        """Notes a fault; the first of its kind in a log keeps its text."""
        known = self._faults.get((log, kind))
        if known is None:
            self._faults[log, kind] = Fault(status, kind, log, sequence, text)
        else:
            known.count += 1

    @property
    def faults(self) -> list[Fault]:
        """The worst first, then in the order they were found."""
        return sorted(self._faults.values(), key=lambda fault: fault.status)

    @property
    def status(self) -> Status:
        """The worst there is."""
        return self.faults[0].status if self._faults else Status.OK

    def lines(self) -> list[str]:
        """For people."""
        looked = (
            f"{self.status.name.lower()}: {self.logs:,} logs, {self.records:,} records, {self.checkpoints:,} checkpoints,"
            f" {self.archived:,} archived files in {self.seconds:.1f} s"
        )
        return [*[fault.line() for fault in self.faults], looked]

    def plain(self) -> dict[str, Any]:
        """For programs."""
        return {
            "status": self.status.name.lower(),
            "exit": int(self.status),
            "logs": self.logs,
            "records": self.records,
            "checkpoints": self.checkpoints,
            "archived": self.archived,
            "seconds": round(self.seconds, 3),
            "faults": [
                {
                    "status": fault.status.name.lower(),
                    "kind": fault.kind,
                    "log": fault.log,
                    "sequence": fault.sequence,
                    "text": fault.text,
                    "count": fault.count,
                }
                for fault in self.faults
            ],
        }
