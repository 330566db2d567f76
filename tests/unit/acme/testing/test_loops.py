"""The event loop that a platform runs in."""

from __future__ import annotations

import asyncio

import pytest

from acme.testing.loops import Loop


async def made_here() -> Loop:
    loop = Loop()
    loop.check()
    return loop


async def check(loop: Loop) -> None:
    loop.check()


def test_the_loop_it_was_made_in_is_right_and_any_other_is_told_what_to_set() -> None:
    loop = asyncio.run(made_here())
    with pytest.raises(RuntimeError, match="asyncio_default_test_loop_scope"):
        asyncio.run(check(loop))
