"""The table of drivers."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

from acme import drivers

OPENERS = {
    "database": "open",
    "cache": "open_cache",
    "limiter": "open_limiter",
    "broadcast": "open_broadcast",
    "bus": "open_bus",
    "objects": "open_objects",
    "fetcher": "open_fetcher",
    "traces": "open_traces",
}


@pytest.mark.parametrize(("port", "scheme"), [(port, each) for port, of in drivers.DRIVERS.items() for each in of])
def test_every_scheme_leads_to_a_module_that_opens(port: str, scheme: str) -> None:
    assert callable(getattr(drivers.driver(f"{scheme}:", port), OPENERS[port]))


@pytest.mark.parametrize(
    ("port", "known"),
    [
        ("database", "postgres:, postgresql:"),
        ("cache", "memory:, none:, redis:, rediss:"),
        ("limiter", "memory:, redis:, rediss:"),
        ("broadcast", "memory:, redis:, rediss:"),
    ],
)
def test_an_unknown_scheme_is_answered_with_those_there_are(port: str, known: str) -> None:
    with pytest.raises(ValueError, match=f"no driver for oracle:; there are {known}$") as caught:
        drivers.driver("oracle://user:secret@db/users", port)
    assert "secret" not in str(caught.value)


def test_a_text_without_a_scheme_is_no_url() -> None:
    with pytest.raises(ValueError, match="begins with a scheme"):
        drivers.open("secret")


def test_process_local_schemes_are_ones_there_are() -> None:
    assert {scheme for of in drivers.DRIVERS.values() for scheme in of} >= drivers.PROCESS_LOCAL
    assert drivers.scheme("memory:") in drivers.PROCESS_LOCAL
    assert drivers.scheme("redis://cache:6379/0") not in drivers.PROCESS_LOCAL


def test_a_driver_is_imported_when_it_is_first_opened_and_not_before() -> None:
    import_module("acme.drivers")
    code = "import acme.drivers, sys; assert not {'asyncpg', 'redis'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_library_that_is_not_installed_is_named_with_the_extra_that_brings_it() -> None:
    code = (
        "import sys; sys.modules['redis'] = None\n"
        "from acme import drivers\n"
        "try: drivers.driver('redis://u:secret@h/0', 'cache')\n"
        "except ValueError as error: print(error)"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert said == "redis: needs the package redis, which is not installed: install acme-platform[redis]\n"
