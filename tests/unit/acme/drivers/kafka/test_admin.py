"""One connection for questions, and another one after a failure."""

from __future__ import annotations

from typing import Any

import pytest

from acme.drivers.kafka.admin import Admin
from acme.drivers.kafka.cluster import Health
from acme.errors import Unavailable
from tests.brokers.mock import MockCluster
from tests.waiting import until


async def itself(client: Any) -> Any:
    """The client, when it answers."""
    await client.describe_topics()
    return client


async def test_a_connection_is_kept_until_a_question_fails(admin: Admin) -> None:
    first = await admin.ask("asking", itself)
    assert await admin.ask("asking", itself) is first

    async def fail(_client: Any) -> None:
        raise OSError

    with pytest.raises(Unavailable):
        await admin.ask("asking", fail)
    assert await admin.ask("asking", itself) is not first


async def test_a_broker_that_went_and_came_back_is_asked_again(mock: MockCluster, admin: Admin, health: Health) -> None:
    await admin.ask("asking", itself)
    mock.go_down()
    try:
        with pytest.raises(Unavailable):
            await admin.ask("asking", itself)
        assert health.state.startswith("asking failed")
    finally:
        mock.come_up()

    async def answers() -> bool:
        try:
            await admin.ask("asking", itself)
        except Unavailable:
            return False
        return True

    await until(answers)
    assert health.state == "ok"
