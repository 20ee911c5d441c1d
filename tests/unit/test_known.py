"""What a line carried in the calls before is what the next call begins by."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Network

import pytest

from kioskd.call import ice
from kioskd.rate.control import Controller
from kioskd.rate.known import LEAST_START_BPS, MOST_START_BPS, SHARE, START_BPS, KnownLine
from tests.unit.line_by_calculation import Line, Run


def test_a_line_that_nobody_knows_is_begun_with_little() -> None:
    assert KnownLine().start_bps("here") == START_BPS


@pytest.mark.parametrize(
    ("carried", "start"),
    [(400e3, SHARE * 400e3), (20e6, MOST_START_BPS), (50e3, LEAST_START_BPS)],
)
def test_a_call_begins_by_what_the_line_carried(carried: float, start: float) -> None:
    known = KnownLine()
    known.learn("here", carried, full=True)
    assert known.start_bps("here") == start


def test_a_call_that_sent_little_tells_nothing() -> None:
    known = KnownLine()
    known.learn("here", 60e3, full=False)
    assert known.start_bps("here") == START_BPS
    known.learn("here", 1e6, full=False)
    assert known.start_bps("here") == MOST_START_BPS


def test_another_network_is_another_line() -> None:
    known = KnownLine()
    known.learn("here", 400e3, full=True)
    assert known.start_bps("there") == START_BPS
    known.learn("there", 150e3, full=True)
    assert known.start_bps("there") == SHARE * 150e3
    assert known.start_bps("here") == START_BPS


def test_only_a_line_that_was_full_is_known_to_carry_less() -> None:
    known = KnownLine()
    known.learn("here", 400e3, full=False)
    known.learn("here", 200e3, full=False)  # no more was wanted, or the call was short
    assert known.start_bps("here") == SHARE * 400e3
    known.learn("here", 200e3, full=True)
    assert known.start_bps("here") == SHARE * 200e3


@pytest.mark.parametrize("kbit", [128, 256, 512, 5000])
def test_the_second_call_on_a_line_leaves_no_queue_at_its_beginning(kbit: int) -> None:
    known = KnownLine()
    first = Run(Line(lambda _: kbit * 1e3))
    first.to(30)
    known.learn("here", first.controller.bps, full=first.controller.full)
    second = Run(Line(lambda _: kbit * 1e3), Controller(known.start_bps("here")))
    second.to(2)
    # A packet of a picture is there at once, whatever the line: 75 ms on the thinnest.
    assert second.longest_queue(0, 2) <= 0.05 + 8 * 1200 / (kbit * 1e3)


def test_a_network_is_told_by_the_addresses_that_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    def has(*found: str) -> frozenset[object]:
        monkeypatch.setattr(ice, "get_host_addresses", lambda **_: list(found))
        return frozenset(ice.network())

    assert has("192.168.1.20", "2001:db8::1") == {IPv4Address("192.168.1.20")}
    today, tomorrow = has("2001:db8:0:7::1:2"), has("2001:db8:0:7::3:4")
    assert today == tomorrow == {IPv6Network("2001:db8:0:7::/64")}
    assert has() == frozenset()
