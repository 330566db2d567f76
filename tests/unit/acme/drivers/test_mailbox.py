"""Mails are kept once, readable only by their owner, newest first."""

from datetime import timedelta
from pathlib import Path

from acme.drivers.clock import MovableClock
from acme.drivers.mailbox import Mailbox, mails
from acme.ports import Mail


async def test_mails_are_listed_newest_first(tmp_path: Path) -> None:
    clock = MovableClock(tmp_path / "clock")
    box = Mailbox(tmp_path / "box", clock)
    for number in range(3):
        await box.send(Mail(f"dlv_{number}", "ada@example.com", f"subject {number}", "text", ("https://x/1",)))
        clock.advance(timedelta(seconds=1))
    assert [mail.subject for mail in mails(tmp_path / "box")] == ["subject 2", "subject 1", "subject 0"]
    assert mails(tmp_path / "box")[0].links == ("https://x/1",)


async def test_a_mail_sent_twice_is_there_once_and_keeps_its_time(tmp_path: Path) -> None:
    clock = MovableClock(tmp_path / "clock")
    box = Mailbox(tmp_path / "box", clock)
    mail = Mail("dlv_1", "ada@example.com", "subject", "text")
    await box.send(mail)
    (first,) = mails(tmp_path / "box")
    clock.advance(timedelta(hours=1))
    await box.send(mail)
    assert mails(tmp_path / "box") == [first]


async def test_only_the_owner_can_read_mails(tmp_path: Path) -> None:
    await Mailbox(tmp_path / "box", MovableClock(tmp_path / "clock")).send(Mail("dlv_1", "a@example.com", "s", "t"))
    assert (tmp_path / "box").stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "box").iterdir())


def test_a_folder_that_does_not_exist_holds_no_mails(tmp_path: Path) -> None:
    assert mails(tmp_path / "nowhere") == []
