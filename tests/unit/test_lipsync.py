"""The agent's picture waits for the agent's voice."""

from __future__ import annotations

import itertools

import pytest

from kioskd.picture.lipsync import MOST_S, Clock, LipSync

TURN = 1 << 32
VOICE, PICTURE = 11, 22
NTP_S = 3_900_000_000.25
"""The sender's clock; the receiver's stands at about 100."""


def following(voice_late_s: float, first: int = TURN - 1000) -> LipSync:
    """Have a second of sound heard so much later than it was said, at 100 s."""
    lips = LipSync()
    lips.report(Clock.SOUND, VOICE, first, NTP_S)
    lips.report(Clock.PICTURE, PICTURE, first, NTP_S + 0.01)
    for number in range(50):
        timestamp = (first + 960 * number) % TURN
        lips.heard(VOICE, timestamp, 100 + 0.02 * number + voice_late_s)
    return lips


def wait(lips: LipSync, taken_s: float, come_s: float) -> float:
    """How long a picture waits that was taken and came so many seconds after the first sound."""
    timestamp = round(TURN - 1000 + (taken_s - 0.01) * Clock.PICTURE) % TURN
    return lips.wait(PICTURE, timestamp, 100 + come_s)


def test_a_picture_waits_until_its_voice_is_heard() -> None:
    lips = following(voice_late_s=0.3)
    assert wait(lips, taken_s=0.5, come_s=0.6) == pytest.approx(0.2, abs=0.001)
    assert wait(lips, taken_s=0.5, come_s=0.7) == pytest.approx(0.1, abs=0.001)


def test_a_picture_that_is_later_than_its_voice_is_shown_at_once() -> None:
    assert wait(following(voice_late_s=0.3), taken_s=0.5, come_s=0.81) == 0


def test_nothing_waits_while_nobody_knows() -> None:
    lips = LipSync()
    assert wait(lips, taken_s=0, come_s=0) == 0
    lips.report(Clock.PICTURE, PICTURE, 0, NTP_S)
    lips.heard(VOICE, 0, 100)
    assert lips.wait(PICTURE, 0, 100) == 0
    another = following(voice_late_s=0.3)
    assert another.wait(PICTURE + 1, TURN - 1000, 100.1) == 0
    another.heard(VOICE + 1, 0, 101)  # another microphone, of which no report has come
    assert wait(another, taken_s=0.5, come_s=0.6) == 0


@pytest.mark.parametrize("ntp_s", [0.0, NTP_S - 1, NTP_S + MOST_S, 4_200_000_000.0])
def test_reports_that_cannot_be_hold_nothing_back(ntp_s: float) -> None:
    lips = following(voice_late_s=0.3)
    lips.report(Clock.PICTURE, PICTURE, TURN - 1000, ntp_s)
    assert wait(lips, taken_s=0.5, come_s=0.6) == 0


def test_a_voice_that_becomes_later_is_followed_without_a_jerk_and_a_burst_at_once() -> None:
    lips = following(voice_late_s=0.3)
    first = TURN - 1000
    waits = []
    for number in range(50, 100):
        late = 0.3 + 0.0015 * (number - 50)
        lips.heard(VOICE, (first + 960 * number) % TURN, 100 + 0.02 * number + late)
        waits.append(wait(lips, taken_s=0.02 * number, come_s=0.02 * number + 0.1))
    steps = [after - before for before, after in itertools.pairwise(waits)]
    assert all(0 <= step < 0.0015 for step in steps)
    lips.heard(VOICE, (first + 960 * 100) % TURN, 102 + 0.55)
    assert wait(lips, taken_s=2, come_s=2.3) == pytest.approx(0.25, abs=0.001)
