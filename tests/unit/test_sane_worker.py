"""The lamp's warming up, which no scanner without a lamp can show."""

from __future__ import annotations

import pytest

from drivers.scanner import sane_worker
from drivers.scanner.sane_worker import SaneWorker
from kioskd.errors import DeviceError, Reason


class SaneError(Exception):
    pass


class ColdDevice:
    def __init__(self, polls: int) -> None:
        self.polls = polls

    def start(self) -> None:
        if self.polls > 0:
            self.polls -= 1
            raise SaneError("Lamp not warmed up")


class Daemon:
    """The worker's context, as it tells the daemon of its progress."""

    def __init__(self) -> None:
        self.progressed: list[object] = []
        self.cancelled = False

    def progress(self, value: object) -> None:
        self.progressed.append(value)


def worker(device: ColdDevice, daemon: Daemon) -> SaneWorker:
    made = SaneWorker.__new__(SaneWorker)  # without SANE
    made._error = SaneError
    made._device = device
    made._context = daemon  # type: ignore[assignment]
    return made


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sane_worker, "WARM_UP_POLL_S", 0.0)


def test_a_lamp_that_warms_up_is_waited_for_and_told() -> None:
    device, daemon = ColdDevice(3), Daemon()
    worker(device, daemon)._start(2)
    assert daemon.progressed == [{"warming": 2}] * 3


def test_a_lamp_that_stays_cold_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sane_worker, "WARM_UP_S", -1.0)
    with pytest.raises(SaneError):
        worker(ColdDevice(1), Daemon())._start(1)


def test_a_resident_who_does_not_wait_is_heard() -> None:
    daemon = Daemon()
    daemon.cancelled = True
    with pytest.raises(DeviceError) as caught:
        worker(ColdDevice(10), daemon)._start(1)
    assert caught.value.reason is Reason.CANCELLED
