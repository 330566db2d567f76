"""The event loop that a platform runs in. A test that runs in another one would wait for ever, so it is told at once."""

from __future__ import annotations

import asyncio


class Loop:
    """The loop that was running when this was made."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def check(self) -> None:
        """Raises `RuntimeError` in any other loop."""
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError(
                "this test runs in another event loop than its platform, which is the module's: set "
                'asyncio_default_test_loop_scope = "module" in pytest\'s configuration, or mark the module with '
                'pytest.mark.asyncio(loop_scope="module")'
            )
