"""What a plugin says about a change of its events that defaults cannot express."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Upcaster:
    """Turns events that were written with one version of a message's schema into the next version's.

        Plugin(…, upcasters=(Upcaster(ProjectCreated, 1, titled),))

        def titled(data: dict[str, Any]) -> dict[str, Any]:
            return {**data, "title": data["name"]}

    `upcast` gets the fields by name as Avro has them (times in microseconds since 1970, enums as symbols, what is absent
    as None), complete as of `version`, and returns those of `version + 1`: what it leaves out has its default, what the next
    version does not have is dropped. It must be pure: an event is read more than once, in several processes.
    """

    message: type
    version: int
    """The version, as in `schemas.lock`, that it starts from."""
    upcast: Callable[[dict[str, Any]], dict[str, Any]]
