"""What is read ahead."""

from __future__ import annotations

from acme.drivers.log import reading
from acme.drivers.log.batches import Stored, pack
from acme.drivers.log.reading import Reader
from acme.ports import Record, TopicPartition


def reader(number: int = 1, position: int = 0) -> Reader:
    return Reader(number, TopicPartition("t", number), position)


def batch(first: int, count: int, partition: int = 1) -> Stored:
    [packed] = pack([Record("t", b"k", b"%d" % (first + n), (), 0, "") for n in range(count)])
    return Stored(partition, first + count, count, packed.content)


def test_records_are_taken_in_portions_and_none_is_skipped() -> None:
    one = reader(position=3)
    one.feed(batch(0, 10))
    one.feed(batch(10, 5))
    taken = [one.take(4), one.take(4), one.take(100), one.take(1)]
    assert [[record.offset for record in part] for part in taken] == [[3, 4, 5, 6], [7, 8, 9, 10], [11, 12, 13, 14], []]
    assert one.next == 15


def test_a_reader_is_hungry_when_it_has_nothing_and_there_may_be_more() -> None:
    one = reader()
    assert one.hungry
    one.paused = True
    assert not one.hungry
    one.paused = False
    one.feed(batch(0, 2))
    assert not one.hungry
    one.take(1)
    assert not one.hungry
    one.take(1)
    assert one.hungry
    one.behind = False
    assert not one.hungry


def test_seek_forgets_what_was_read_ahead() -> None:
    one = reader()
    one.feed(batch(0, 5))
    one.take(2)
    one.behind = False
    one.seek(1)
    assert (one.take(5), one.next, one.hungry) == ([], 1, True)


def test_the_first_in_turn_get_theirs_and_paused_ones_nothing() -> None:
    one, two, three = reader(1), reader(2), reader(3)
    reading.feed([one, two, three], [batch(0, 4, 1), batch(0, 4, 2), batch(0, 4, 3)], cut=False)
    two.paused = True
    found = reading.take([three, two, one], 6)
    assert [(record.partition, record.offset) for record in found] == [(3, 0), (3, 1), (3, 2), (3, 3), (1, 0), (1, 1)]


def test_after_a_question_that_was_cut_there_may_be_more() -> None:
    one, two = reader(1), reader(2)
    one.behind = two.behind = False
    reading.feed([one, two], [batch(0, 4, 1)], cut=False)
    assert [one.behind, two.behind] == [False, False]
    reading.feed([one, two], [batch(4, 4, 1)], cut=True)
    assert [one.behind, two.behind] == [True, True]
