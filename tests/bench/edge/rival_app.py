"""The service behind Envoy: what tests/bench/stranger/bench_plugin does, as one writes it with FastAPI and asyncpg.

It runs in an environment of its own (`requirements.txt`), by uvicorn: `uvicorn rival_app:app`. Where its rows are,
`BENCH_PGHOST` says: the folder of PostgreSQL's socket.
"""
# mypy: ignore-errors
# FastAPI is not among what the project installs.

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final

import asyncpg
from fastapi import FastAPI, HTTPException, Request
from pydantic import BaseModel

ITEM: Final = (
    "SELECT id, name, owner_id, created_at, labels, tags, state, version, description FROM items WHERE id = $1"
)
STATES: Final = ("STATE_UNSPECIFIED", "STATE_ACTIVE", "STATE_ARCHIVED")


class Pong(BaseModel):
    """What the no-op answers."""

    message: str


class Item(BaseModel):
    """A row, as JSON has it."""

    id: str
    name: str
    owner_id: str
    created_at: datetime
    labels: dict[str, str]
    tags: list[str]
    state: str
    version: int
    description: str


@asynccontextmanager
async def _life(app: FastAPI) -> AsyncIterator[None]:
    place = os.environ["BENCH_PGHOST"]
    async with asyncpg.create_pool(host=place, user="acme", database="bench", min_size=8, max_size=8) as pool:
        app.state.pool = pool
        yield


app = FastAPI(lifespan=_life)


@app.get("/v1/ping")
async def ping() -> Pong:
    """Answers."""
    return Pong(message="pong")


@app.get("/v1/items/{id}")
async def get_item(id: str, request: Request) -> Item:
    """Reads a row."""
    async with request.app.state.pool.acquire() as connection:
        row = await connection.fetchrow(ITEM, id)
    if row is None:
        raise HTTPException(404)
    return Item(**{**row, "labels": json.loads(row["labels"]), "state": STATES[row["state"]]})
