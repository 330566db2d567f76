"""What a plugin says about a change of its events."""

from __future__ import annotations

import acme
from acme.codec.avro.upcasting import Upcaster
from acme.contracts.projects.v1 import ProjectCreated


def test_it_is_frozen_data_that_plugins_find_in_the_facade() -> None:
    assert acme.Upcaster is Upcaster
    said = Upcaster(ProjectCreated, 1, dict)
    assert said == Upcaster(ProjectCreated, 1, dict)
    assert said.upcast({"a": 1}) == {"a": 1}
    assert acme.Plugin.__dataclass_fields__["upcasters"].default == ()
