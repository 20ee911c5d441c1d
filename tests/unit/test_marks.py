"""Marks: the score is of what was tried, what failed is named, what proves nothing is no pass."""

from __future__ import annotations

from kioskd.app.trials.marks import FAILED_AT_MOST, Marks
from kioskd.control.trial import Look, Result, Untried
from kioskd.diagnostics.findings import device_id
from kioskd.errors import Reason
from kioskd.hal.device import DeviceKind
from kioskd.hal.trial import Trial


def marks() -> Marks:
    return Marks(Trial.CAMERA, lambda _: None)


def test_the_score_is_of_what_was_tried() -> None:
    one = marks()
    one.mark(Look.PICTURE, 30, 1)
    one.mark(Look.RATE, 10, 0.5)
    one.untried(Look.LIGHT, 60, Untried.NO_CAMERA)
    told = one.outcome(1)
    assert (told.result, told.score) == (Result.DEGRADED, round(100 * 35 / 40))


def test_what_has_failed_has_less_than_half_and_names_why() -> None:
    one = marks()
    one.mark(Look.PICTURE, 90, 1)
    one.mark(Look.LIGHT, 10, 0)
    one.wrong("KSK-130", "slow", fails=False)
    one.wrong_device(DeviceKind.CAMERA, Reason.BLACK, "dark")
    one.wrong("KSK-131", "too late")
    told = one.outcome(1)
    assert (told.result, told.score) == (Result.FAILED, FAILED_AT_MOST)
    assert (told.finding, told.detail) == (device_id(DeviceKind.CAMERA, Reason.BLACK), "dark")


def test_what_proves_nothing_has_not_passed() -> None:
    one = marks()
    one.mark(Look.PLAYED, 10, 1)
    one.untried(Look.HEARD, 50, Untried.NO_MICROPHONE, proves=True)
    assert one.outcome(1).result is Result.NOT_TRIED
    assert marks().outcome(1).result is Result.NOT_TRIED
    assert marks().outcome(1).score is None
