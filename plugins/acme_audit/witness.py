"""Sees to it that every event of the services that people's rights depend on has a record: the consumer `witness`.

It makes no record of its own. It remembers the events it hears; records name the events that were committed with them; and
what is heard and not named within five minutes is counted, told in the log, and found by `acme audit verify`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from acme import Event, Resources
from acme.contracts.users import v1 as users
from acme_audit.store import WitnessStore

MESSAGES: Final[tuple[type, ...]] = (
    users.InvitationAccepted,
    users.InvitationCreated,
    users.InvitationDeleted,
    users.OrganizationCreated,
    users.OrganizationMemberAdded,
    users.OrganizationMemberRemoved,
    users.OrganizationMemberUpdated,
    users.OrganizationTransferred,
    users.OrganizationUpdated,
    users.RoleChanged,
    users.ServiceAccountChanged,
    users.SessionCreated,
    users.SessionRevoked,
    users.TeamChanged,
    users.TeamMemberChanged,
    users.TokenCreated,
    users.TokenRevoked,
    users.UserCreated,
    users.UserEmailChanged,
    users.UserEmailVerified,
    users.UserPasswordChanged,
    users.UserUpdated,
)
"""All events of acme.users.events."""

PATIENCE: Final = timedelta(minutes=5)
"""How long the record of an event may take."""
KEPT: Final = timedelta(days=14)
"""How long what a record names is remembered: longer than the bus keeps an event, which it may deliver again."""
BATCH: Final = 5000


async def hear(resources: Resources[Any], heard: Sequence[Event[Any]]) -> None:
    """What the consumer does with a batch."""
    kinds = [type(event.message).__name__ for event in heard]
    await WitnessStore(resources.database).heard([event.id for event in heard], kinds, at=resources.clock.now())


async def count_lacking(store: WitnessStore, now: datetime) -> tuple[int, str]:
    """How many events have no record although it is time, and the first of them; forgets those that have one."""
    while await store.settle(limit=BATCH) == BATCH:
        pass
    await store.prune(until=now - KEPT)
    return await store.lacking(until=now - PATIENCE)
