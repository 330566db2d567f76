"""The yardstick: aiohttp's `web.Server` alone, on uvloop, with the same answer to everything.

`python -m tests.bench.bare REPLY`, where the file REPLY holds `{"headers": {…}, "body": "…"}`. Prints its port.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import uvloop
from aiohttp import web


async def serve(headers: dict[str, str], body: bytes) -> None:
    """Answers for ever."""

    async def answer(_request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=body, headers=headers)

    listener = await asyncio.get_running_loop().create_server(web.Server(answer), "127.0.0.1", 0, backlog=1024)
    print(listener.sockets[0].getsockname()[1], flush=True)
    await listener.serve_forever()


if __name__ == "__main__":
    reply = json.loads(Path(sys.argv[1]).read_text())
    uvloop.run(serve(reply["headers"], reply["body"].encode()))
