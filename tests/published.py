"""The audit records that services have left, wherever they are by now: the one place where tests read them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from acme.contracts.audit.v1 import AuditRecord
from acme.testing import Platform


@dataclass
class Published:
    """Reads what is new. The platforms of these tests have no bus (`events=False`): records stay in the outboxes."""

    platform: Platform
    plugins: Iterable[str]
    seen: dict[str, int] = field(default_factory=dict)

    async def new(self) -> list[AuditRecord]:
        """The records since the last time this was asked, of one service after the other."""
        found: list[AuditRecord] = []
        for plugin in self.plugins:
            records, self.seen[plugin] = await self.platform.audited(plugin, after=self.seen.get(plugin, 0))
            found += records
        return found
