"""The data folder: one holder at a time, secrets that are never replaced, and nothing deleted that is not ours."""

from __future__ import annotations

import asyncio
import os
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest

from acme.drivers.clock import SystemClock
from acme.drivers.mailbox import Mailbox
from acme.ports import Mail
from acme.runtime.datafolder import FolderError, check, claim, mails, master_key, reset, size


def test_a_folder_has_one_holder_at_a_time(tmp_path: Path) -> None:
    with (
        claim(tmp_path / "data"),
        pytest.raises(FolderError, match=f"in use by process {os.getpid()}"),
        claim(tmp_path / "data"),
    ):
        pass
    with claim(tmp_path / "data"):
        pass


def test_a_new_folder_is_for_its_owner_alone(tmp_path: Path) -> None:
    with claim(tmp_path / "data"):
        assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700


def test_the_master_key_is_made_once_and_kept(tmp_path: Path) -> None:
    first = master_key(tmp_path, "")
    assert len(first) == 32
    assert master_key(tmp_path, "") == first
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "secrets/master.key").stat().st_mode & 0o777 == 0o600
    assert [file.name for file in (tmp_path / "secrets").iterdir()] == ["master.key"]


def test_a_folder_that_a_process_of_several_runs_on_is_in_use(tmp_path: Path) -> None:
    with claim(tmp_path):
        pass
    check(tmp_path)
    (tmp_path / "run").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "run" / "control-users.sock"))
        listener.listen()
        with pytest.raises(FolderError, match=r"in use: .* listens on .*control-users\.sock"):
            reset(tmp_path)
    reset(tmp_path)
    assert not tmp_path.exists()


def test_a_process_that_is_one_of_several_makes_no_master_key(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="all processes of a platform share one") as caught:
        master_key(tmp_path, "", make=False)
    assert str(tmp_path / "secrets" / "master.key") in str(caught.value)
    made = master_key(tmp_path, "")
    assert master_key(tmp_path, "", make=False) == made


def test_a_configured_master_key_leaves_no_file(tmp_path: Path) -> None:
    assert master_key(tmp_path, "A" * 43 + "=") == bytes(32)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_master_key_is_not_replaced(tmp_path: Path) -> None:
    master_key(tmp_path, "")
    (tmp_path / "secrets/master.key").write_text("damaged")
    with pytest.raises(FolderError, match=r"master.key is damaged"):
        master_key(tmp_path, "")
    assert (tmp_path / "secrets/master.key").read_text() == "damaged"


def test_two_who_make_the_master_key_at_once_get_the_same(tmp_path: Path) -> None:
    async def both() -> list[bytes]:
        return await asyncio.gather(*(asyncio.to_thread(master_key, tmp_path, "") for _ in range(8)))

    assert len(set(asyncio.run(both()))) == 1


def test_reset_deletes_the_folder(tmp_path: Path) -> None:
    with claim(tmp_path / "data"):
        (tmp_path / "data/mailbox").mkdir()
    reset(tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_reset_refuses_a_folder_that_is_in_use(tmp_path: Path) -> None:
    with claim(tmp_path), pytest.raises(FolderError, match="in use by process"):
        reset(tmp_path)
    assert tmp_path.exists()


def test_reset_refuses_a_folder_that_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").touch()
    with pytest.raises(FolderError, match="not a data folder"):
        reset(tmp_path)
    assert (tmp_path / "letter.txt").exists()


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="does not exist"):
        check(tmp_path / "nowhere")


def test_the_size_is_what_the_files_take(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/file").write_bytes(os.urandom(100_000))
    assert 100_000 <= size(tmp_path) < 200_000


async def test_mails_come_newest_first(tmp_path: Path) -> None:
    box = Mailbox(tmp_path / "mailbox", SystemClock())
    await box.send(Mail("dlv_1", "ada@example.com", "One", "text"))
    await box.send(Mail("dlv_2", "ada@example.com", "Two", "text"))
    assert [mail.subject for mail in mails(tmp_path)] == ["Two", "One"]
    assert mails(tmp_path)[0].at <= datetime.now(UTC)


def test_a_folder_without_mails_has_none(tmp_path: Path) -> None:
    assert mails(tmp_path) == []
