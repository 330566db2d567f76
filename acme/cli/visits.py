"""How a command visits a platform: what goes wrong is one line on stderr, and exit code 1."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from acme.cli.options import fail

if TYPE_CHECKING:  # commands import the platform when they are called
    from acme.runtime.settings import Config
    from acme.runtime.visiting import House

T = TypeVar("T")


def visiting(settings: Config, run: Callable[[House], Awaitable[T]]) -> T:
    """Runs something in the platform of a configuration."""
    from acme.errors import Refused
    from acme.ports import UnknownTopic
    from acme.runtime.visiting import CannotVisit, visit
    from acme.telemetry import configure_logs

    configure_logs(json=False, level="error")

    async def inside() -> T:
        async with visit(settings) as house:
            return await run(house)

    try:
        return asyncio.run(inside())
    except CannotVisit as error:
        fail(*str(error).splitlines())
    except UnknownTopic as error:
        fail(f"there is no topic {error.args[0]}")
    except Refused as error:
        fail(error.message)
    except KeyboardInterrupt:
        fail("interrupted", code=130)
