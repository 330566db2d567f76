"""What may be set of overload."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from acme.gateway.overload_settings import OverloadSettings


def test_what_is_left_out_is_generous() -> None:
    settings = OverloadSettings()
    assert (settings.requests, settings.queue, settings.wait) == (2000, 0.03, 1.0)


@pytest.mark.parametrize("wrong", [{"requests": 63}, {"queue": 0}, {"wait": 0.01}, {"most": 5}])
def test_what_would_serve_nobody_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, OverloadSettings)
