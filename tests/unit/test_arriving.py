"""Packets in any order to whole pictures in order, and what is asked for, by calculation."""

from __future__ import annotations

import random

import pytest

from kioskd.picture.arriving import (
    GIVE_UP_S,
    KEY_AGAIN_S,
    MOST_PACKETS,
    REPEAT_S,
    Arriving,
    Whole,
)

KEY, DELTA = b"K", b"d"


def arriving() -> Arriving:
    return Arriving(lambda data: data.startswith(KEY))


def add(
    one: Arriving, sequence: int, picture: int, data: bytes, *, last: bool, now: float = 0.0
) -> list[Whole]:
    return one.add(sequence % 65536, picture * 3000, data, marker=last, now=now)


def begun(now: float = 0.0) -> Arriving:
    """Return one that has had its key picture, as packet 0."""
    one = arriving()
    assert [whole.key for whole in add(one, 0, 0, KEY, last=True, now=now)] == [True]
    return one


def test_before_the_first_packet_nothing_is_asked_for() -> None:
    assert arriving().due(1e6) is None


def test_a_picture_is_whole_with_its_marker() -> None:
    one = begun()
    assert add(one, 1, 1, DELTA, last=False) == []
    assert add(one, 2, 1, b"e", last=True) == [Whole(b"de", 3000, key=False)]


def test_a_picture_without_a_marker_ends_with_the_next() -> None:
    one = begun()
    assert add(one, 1, 1, DELTA, last=False) == []
    found = add(one, 2, 2, DELTA, last=True)
    assert [whole.timestamp for whole in found] == [3000, 6000]


def test_what_waited_for_a_packet_comes_all_at_once() -> None:
    one = begun()
    for number in range(2, 6):
        assert add(one, number, number, DELTA, last=True) == []
    assert len(add(one, 1, 1, DELTA, last=True)) == 5


@pytest.mark.parametrize("first", [0, 65530, 32760])
def test_any_order_and_any_numbers_give_the_same_pictures(first: int) -> None:
    shuffled = random.Random(first)
    one = arriving()
    packets = [
        (first + number, number // 3, (KEY if number < 3 else DELTA), number % 3 == 2)
        for number in range(90)
    ]
    order = sorted(packets, key=lambda packet: packet[0] + shuffled.random() * 8)
    found = [
        whole
        for sequence, picture, data, last in order
        for whole in add(one, sequence, picture, data, last=last)
    ]
    assert [whole.timestamp // 3000 for whole in found] == list(range(30))
    assert one.due(1.0) is None


def test_twice_the_same_packet_is_one() -> None:
    one = begun()
    assert add(one, 0, 0, KEY, last=True) == []
    assert len(add(one, 1, 1, DELTA, last=True)) == 1


def test_padding_is_no_picture() -> None:
    one = begun()
    assert add(one, 1, 0, b"", last=False) == []
    assert len(add(one, 2, 1, DELTA, last=True)) == 1


def test_what_is_missing_is_asked_for_at_once_and_again_at_the_pace_of_the_answers() -> None:
    one = begun(now=9.9)
    add(one, 3, 3, DELTA, last=True, now=10.0)
    assert one.due(10.0) == 0.0
    assert one.ask(10.0) == [1, 2]
    assert one.due(10.0) == pytest.approx(REPEAT_S)
    assert one.ask(10.01) == []
    assert one.ask(10.025) == [1, 2]  # the first request may have been lost
    assert one.ask(10.05) == []
    wait = one.due(10.0)
    assert wait is not None
    assert wait == pytest.approx(1.25 * one.answer_s)
    assert one.ask(10.0 + wait) == [1, 2]
    add(one, 1, 1, DELTA, last=True, now=10.3)
    assert one.ask(10.6) == [2]


@pytest.mark.parametrize("way_s", [0.03, 0.6])
def test_the_pace_of_the_answers_is_learnt(way_s: float) -> None:
    one = begun()
    for number in range(1, 41, 2):
        now = number / 2
        add(one, number + 1, number + 1, DELTA, last=True, now=now)
        one.ask(now)
        add(one, number, number, DELTA, last=True, now=now + way_s)
    assert one.answer_s == pytest.approx(way_s, abs=0.02)


def test_what_does_not_come_is_given_up_and_a_key_picture_asked_for() -> None:
    one = begun()
    add(one, 2, 2, DELTA, last=True, now=1.0)
    assert not one.wants_key(1.0)
    late = 1.0 + GIVE_UP_S + 0.01
    assert one.ask(late) == []
    assert one.wants_key(late)
    assert not one.wants_key(late + 0.1)
    assert one.due(late) == pytest.approx(KEY_AGAIN_S)
    assert one.wants_key(late + KEY_AGAIN_S)
    # What hangs on the lost one is not shown, and the key picture is.
    assert add(one, 3, 3, DELTA, last=True, now=late) == []
    assert [whole.key for whole in add(one, 4, 4, KEY, last=True, now=late)] == [True]
    assert one.due(late) is None
    assert len(add(one, 5, 5, DELTA, last=True, now=late)) == 1


def test_nothing_before_a_whole_key_picture_is_waited_for() -> None:
    one = begun()
    assert add(one, 2, 2, DELTA, last=True, now=1.0) == []
    assert add(one, 3, 3, KEY, last=False, now=1.1) == []
    found = add(one, 4, 3, DELTA, last=True, now=1.2)
    assert found == [Whole(KEY + DELTA, 9000, key=True)]
    assert one.due(1.2) is None
    assert add(one, 1, 1, DELTA, last=True, now=1.3) == []
    assert len(add(one, 5, 5, DELTA, last=True, now=1.3)) == 1


def test_after_a_way_that_was_closed_a_key_picture_is_asked_for_at_once() -> None:
    one = begun(now=1.0)
    assert add(one, 90, 30, DELTA, last=True, now=4.0) == []
    assert one.ask(4.0) == []
    assert one.wants_key(4.0)
    assert len(add(one, 91, 31, KEY, last=True, now=4.1)) == 1


def test_a_sender_that_paused_has_lost_nothing() -> None:
    one = begun(now=1.0)
    assert len(add(one, 1, 90, DELTA, last=True, now=4.0)) == 1
    assert one.due(4.0) is None


def test_a_stream_that_begins_in_the_middle_waits_for_a_key_picture() -> None:
    one = arriving()
    assert add(one, 7, 1, DELTA, last=True, now=5.0) == []
    assert not one.wants_key(5.0)
    wait = one.due(5.0)
    assert wait is not None
    assert one.wants_key(5.0 + wait)


def test_no_more_waits_than_there_is_room_for() -> None:
    one = begun()
    for number in range(2, 4 * MOST_PACKETS):
        add(one, number, number, DELTA, last=True)
    assert len(one._packets) <= MOST_PACKETS
    assert len(one.ask(0.0)) <= 1
    assert one.wants_key(100.0)


def test_a_jump_of_the_numbers_is_survived() -> None:
    one = begun()
    add(one, 30_000, 9, DELTA, last=True, now=1.0)
    assert one.wants_key(2.0)
    assert [whole.key for whole in add(one, 30_001, 10, KEY, last=True, now=2.0)] == [True]
