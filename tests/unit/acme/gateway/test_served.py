"""What is served, and what is served otherwise once settings have changed."""

from __future__ import annotations

import msgspec

from acme.gateway.binding import Lazy
from tests.unit.acme.gateway.rig import ID, Rig, running


async def test_a_route_is_compiled_once_it_is_asked_for_and_stays_so_when_settings_change() -> None:
    async with running() as rig:
        leaf = rig.gateway._served.routes.find(f"/v1/projects/{ID}")
        assert leaf is not None
        target = leaf[0].targets["GET"]
        assert isinstance(target, Lazy)
        assert target.bound is None
        assert (await rig.ask("GET", f"/v1/projects/{ID}")).status == 200
        bound, policy = target.bound, target.policy
        rig.gateway.prepare(msgspec.structs.replace(rig.gateway._settings, timeout=3.0))()
        assert target.bound is bound
        assert (policy.timeout, target.policy.timeout) == (10.0, 3.0)


async def test_the_document_is_made_once_and_again_for_other_settings(rig: Rig) -> None:
    first = rig.gateway._served._openapi()
    assert rig.gateway._served._openapi() is first
    before = rig.gateway._settings
    rig.gateway.prepare(msgspec.structs.replace(before, timeout=7.0))()
    assert b'"default":"7"' in rig.gateway._served._openapi()
    rig.gateway.prepare(before)()
    assert rig.gateway._served._openapi() == first
