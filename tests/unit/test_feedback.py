"""Transport-wide feedback on the wire: what is built is read, and no bytes do harm."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kioskd.rate.feedback import (
    NUMBERS,
    TICK_S,
    Arrivals,
    Feedback,
    build,
    packet,
    parse,
    split,
)
from kioskd.rate.sent import LATE_S, Sent


def test_the_example_of_the_draft_s_chunks() -> None:
    """Section 3.1.3's run of 221 lost packets, and 3.1.4's vector of two bits."""
    run = bytes.fromhex("0001 00dd 000001 00 00dd".replace(" ", ""))
    assert parse(run) == Feedback(1, (None,) * 221)
    # Not received, received with a small delta four times, two not received.
    vector = bytes.fromhex("0001 0007 000001 00 c550 04040404".replace(" ", ""))
    times = [(256 + n) * TICK_S for n in (4, 8, 12, 16)]
    assert parse(vector) == Feedback(1, (None, *times, None, None))


def test_a_vector_of_one_bit() -> None:
    # 14 symbols, the first and the last came.
    assert parse(bytes.fromhex("0001000e00000000a0010102")).arrivals == (
        *(None,) * 0,
        TICK_S,
        *(None,) * 12,
        3 * TICK_S,
    )


@given(
    base=st.integers(0, NUMBERS - 1),
    first=st.integers(0, 1 << 30),
    steps=st.lists(st.none() | st.integers(-30_000, 30_000), max_size=300),
)
def test_what_is_built_is_read(base: int, first: int, steps: list[int | None]) -> None:
    first += 1 << 23
    arrivals = [first, *(None if step is None else first + step // 2 for step in steps)]
    read = parse(build(base, arrivals, 3))
    assert read.base == base
    turn = (1 << 24) * 256
    assert [None if at is None else round(at / TICK_S) for at in read.arrivals] == [
        None if at is None else at - first // 256 * 256 + first // 256 * 256 % turn
        for at in arrivals
    ]


@given(st.binary(max_size=200))
def test_no_bytes_do_harm(data: bytes) -> None:
    try:
        feedback = parse(data)
    except ValueError:
        return
    assert len(feedback.arrivals) <= 1024


@given(st.binary(max_size=200))
def test_what_is_no_feedback_goes_on(data: bytes) -> None:
    found, rest = split(data)
    assert found or rest == data


def test_a_feedback_is_taken_out_of_a_compound_packet() -> None:
    fci = build(7, [1000, None, 1010], 0)
    report = bytes.fromhex("80c90001 00000007".replace(" ", ""))
    assert split(report + packet(1, 2, fci) + report) == ([fci], report + report)


def test_what_comes_late_is_told_once_more() -> None:
    arrivals = Arrivals()
    arrivals.note(65535, 10.0)
    arrivals.note(1, 10.01)
    first = [parse(fci) for fci in arrivals.take()]
    assert [(one.base, len(one.arrivals)) for one in first] == [(65535, 3)]
    assert first[0].arrivals[1] is None
    assert arrivals.take() == []
    arrivals.note(0, 10.15)
    arrivals.note(2, 10.16)
    (again,) = (parse(fci) for fci in arrivals.take())
    assert again.base == 0
    assert [round(at or 0, 3) for at in again.arrivals] == [10.15, 10.01, 10.16]


def test_a_number_from_nowhere_costs_nothing() -> None:
    arrivals = Arrivals()
    arrivals.note(5, 1.0)
    arrivals.note(30_000, 1.0)
    (only,) = arrivals.take()
    assert parse(only) == Feedback(5, (1.0,))


def test_each_packet_is_reported_once_and_the_lost_ones_late() -> None:
    sent = Sent()
    for n in range(4):
        assert sent.number(100, n / 100) == n
    sent.other(1000)
    assert sent.number(100, 0.05) == 4
    told = Feedback(0, (5.0, None, 5.02, None, 5.06))
    reports = sent.match(told, 0.2)
    assert [(one.sent_at, one.arrived_at, one.total) for one in reports] == [
        (0.0, 5.0, 100),
        (0.02, 5.02, 300),
        (0.05, 5.06, 1500),
    ]
    assert sent.match(told, 0.21) == []
    late = sent.match(Feedback(1, (5.1,)), 0.25)
    assert [one.arrived_at for one in late] == [5.1]
    (lost,) = sent.match(Feedback(4, ()), 0.2 + LATE_S)
    assert (lost.sent_at, lost.arrived_at, lost.size) == (0.03, None, 100)


def test_the_far_end_s_clock_may_go_round() -> None:
    sent = Sent()
    turn = (1 << 24) * 0.064
    for n in range(2):
        sent.number(100, n / 100)
    (one,) = sent.match(Feedback(0, (turn - 0.01,)), 0.1)
    (two,) = sent.match(Feedback(1, (0.01,)), 0.1)
    assert one.arrived_at is not None
    assert two.arrived_at == pytest.approx(one.arrived_at + 0.02)
