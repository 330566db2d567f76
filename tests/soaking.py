"""How long a drill is: short in `make test` and `make test-drills`, long in `make soak`, which runs what is marked `soak`
with its own profile."""

from __future__ import annotations

from hypothesis import settings


def soaking() -> bool:
    """Whether this is `make soak`."""
    return settings.default is not None and settings.default.max_examples >= 10_000
