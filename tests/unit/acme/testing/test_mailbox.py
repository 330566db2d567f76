"""The kit's view of the mailbox."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from acme.drivers.clock import MovableClock
from acme.drivers.mailbox import Mailbox as Driver
from acme.ids import new_id
from acme.ports import Mail
from acme.testing.mailbox import Mailbox


@pytest.fixture
def clock(tmp_path: Path) -> MovableClock:
    return MovableClock(tmp_path / "clock")


@pytest.fixture
def driver(tmp_path: Path, clock: MovableClock) -> Driver:
    return Driver(tmp_path / "mailbox", clock)


@pytest.fixture
def mailbox(tmp_path: Path) -> Mailbox:
    return Mailbox(tmp_path / "mailbox")


async def test_mails_are_listed_newest_first_and_by_address(
    driver: Driver, mailbox: Mailbox, clock: MovableClock
) -> None:
    assert mailbox.list() == []
    for number, to in enumerate(["a@example.com", "b@example.com", "a@example.com"]):
        clock.advance(timedelta(seconds=1))
        await driver.send(Mail(f"dlv_{number}", to, "Hello", "Text"))
    assert [mail.id for mail in mailbox.list()] == ["dlv_2", "dlv_1", "dlv_0"]
    assert [mail.id for mail in mailbox.list("a@example.com")] == ["dlv_2", "dlv_0"]


async def test_the_newest_is_the_one_that_was_asked_for_last_whichever_left_last(
    driver: Driver, mailbox: Mailbox, clock: MovableClock
) -> None:
    first, second = new_id("dlv", clock), new_id("dlv", clock)
    for asked in (second, first):
        clock.advance(timedelta(seconds=1))
        await driver.send(Mail(asked, "a@example.com", "Hello", "Text"))
    assert (await mailbox.wait("a@example.com", number=2)).id == second
    assert [mail.id for mail in mailbox.list()] == [second, first]


async def test_waiting_ends_with_the_mail_that_was_waited_for(driver: Driver, mailbox: Mailbox) -> None:
    waiting = mailbox.wait("a@example.com")
    mail, _ = await asyncio.gather(waiting, driver.send(Mail("dlv_1", "a@example.com", "Hello", "Text", ("link",))))
    assert (mail.subject, mail.links) == ("Hello", ("link",))


async def test_waiting_for_a_mail_that_never_comes_fails(mailbox: Mailbox) -> None:
    with pytest.raises(AssertionError, match=r"0 mails to a@example\.com"):
        await mailbox.wait("a@example.com", limit=0.02)
