"""Beneath aiokafka's documented surface: all of it that is reached, and why. Written against 0.14.

Each function has a test that fails when another aiokafka has changed what is underneath.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError, ProducerClosed

UNKNOWN_MEMBER = ""


def shut_out(consumer: AIOKafkaConsumer) -> bool:
    """Whether the group has dropped this member, so that its partitions are another's already.

    aiokafka calls the same listener, whether partitions are to be given up or were taken; Java has `onPartitionsLost`.
    Its coordinator forgets its member id when it hears that the group does not know it, or has gone on without it.
    """
    return bool(consumer._coordinator.member_id == UNKNOWN_MEMBER)


def stuck(consumer: AIOKafkaConsumer) -> bool:
    """Whether one of the consumer's own tasks has ended: no call tells when it was the one that fetches."""
    return bool(consumer._coordinator._coordination_task.done() or consumer._fetcher.error_future.done())


def poll_ended(consumer: AIOKafkaConsumer) -> None:
    """To be called when `getmany` was cancelled or failed: it counts itself as ended only when it returns, and a consumer
    that seems to be fetching for ever is never missed by its group. We never have two at once."""
    state = consumer._subscription
    state._fetch_count = 0
    state._last_fetch_ended = time.monotonic()


async def abandon(consumer: AIOKafkaConsumer) -> None:
    """Closes what the `stop` of a member has left open when it failed or was cancelled, without asking anybody. A heartbeat
    that went on would keep partitions that nobody reads."""
    if consumer._coordinator is not None:
        with suppress(KafkaError):
            await consumer._coordinator._stop_heartbeat_task()
            await consumer._coordinator._stop_commit_offsets_refresh_task()
    if consumer._fetcher is not None:
        await consumer._fetcher.close()
    await consumer._client.close()


async def abort(producer: AIOKafkaProducer) -> None:
    """Ends a producer without delivering what it still has: `stop` would wait until the brokers take it.

    A request that is under way is waited for, as long as requests may take.
    """
    sender = producer._sender.sender_task
    if sender is not None and not sender.done():
        sender.cancel()
        await asyncio.wait([sender])
    left = producer._message_accumulator
    batches = {*left._pending_batches, *(batch for waiting in left._batches.values() for batch in waiting)}
    left._pending_batches.update(batches)  # each takes itself out again, also one that was waiting to be repeated
    left.fail_all(ProducerClosed())
    for batch in batches:  # nobody asks any more, and what nobody asks for would be logged
        for future in (batch.future, batch._drain_waiter):
            if future.done() and not future.cancelled():
                future.exception()
    await producer.stop()
