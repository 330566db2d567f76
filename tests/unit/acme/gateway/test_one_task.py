"""A connection's event loop, where a task is the coroutine itself."""

from __future__ import annotations

import asyncio

from acme.gateway.one_task import InOneTask


async def test_a_task_is_the_coroutine_itself_and_all_else_is_the_event_loop() -> None:
    async def step() -> asyncio.Task[None] | None:
        return asyncio.current_task()

    loop = asyncio.get_running_loop()
    shown = InOneTask(loop)
    assert await shown.create_task(step()) is asyncio.current_task()
    assert shown.time() <= loop.time()
    assert shown.create_future().get_loop() is loop
    assert shown.is_running()
