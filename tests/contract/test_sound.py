"""Microphone and speaker under supervision on a real PipeWire: what goes, stops, and returns."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator

import psutil
import pytest

from drivers.microphone.pipewire import PipewireMicrophone, PipewireMicrophoneConfig
from drivers.microphone.pulse import server
from drivers.microphone.watch import watch
from drivers.speaker.pipewire import PipewireSpeaker, PipewireSpeakerConfig
from kioskd.errors import DeviceError, Reason
from kioskd.hal.device import DeviceState
from kioskd.runtime.supervisor import Supervised
from kioskd.simulation.pipewire import PIPEWIRE, PULSE, SERVICES, WIREPLUMBER, PrivatePipewire
from tests.contract.sound import private_sound, until

SPEAKS_FOR_ITSELF = """
import asyncio, sys
from drivers.microphone.pipewire import PipewireMicrophoneConfig
from drivers.speaker.pipewire import PipewireSpeakerConfig
async def main():
    async with PipewireMicrophoneConfig().build() as microphone, PipewireSpeakerConfig().build():
        await microphone.chunk()
        print("open", file=sys.stderr, flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""


@pytest.fixture
async def sound(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PrivatePipewire]:
    async with private_sound(monkeypatch) as private:
        yield private


class Kiosk:
    """Both devices supervised and watched, and a call that uses the microphone."""

    def __init__(self, sound: PrivatePipewire) -> None:
        expected = PipewireMicrophoneConfig(source=sound.source, echo_canceller=False)
        self.microphone = Supervised[PipewireMicrophone](expected.build())
        self.speaker = Supervised[PipewireSpeaker](
            PipewireSpeakerConfig(sink=sound.sink).build(), keep_open=True
        )
        self.chunks = 0

    async def __aenter__(self) -> Kiosk:
        self._tasks = [
            asyncio.create_task(work())
            for one in (self.microphone, self.speaker)
            for work in (one.run, one.device.watch)
        ]
        await until(lambda: self.microphone.health.state.usable, 10)
        await until(lambda: self.speaker.health.state is DeviceState.READY, 10)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)

    def call(self) -> None:
        """Read the microphone from now on, again and again as a call does."""
        self._tasks.append(asyncio.create_task(self._listen()))
        self._tasks.append(asyncio.create_task(self._speak()))

    async def _listen(self) -> None:
        while True:
            with contextlib.suppress(DeviceError):
                async with self.microphone.lease() as microphone:
                    while True:
                        await microphone.chunk()
                        self.chunks += 1
            await asyncio.sleep(0.2)

    async def _speak(self) -> None:
        while True:
            with contextlib.suppress(DeviceError):
                await self.speaker.device.play(bytes(1920))
            await asyncio.sleep(0.02)


def reason_of(one: Supervised[PipewireMicrophone] | Supervised[PipewireSpeaker]) -> Reason | None:
    return None if one.health.state.usable else one.health.reason


async def test_unplug_is_noticed_at_once_and_replug_in_the_same_call(
    sound: PrivatePipewire,
) -> None:
    async with asyncio.timeout(60), Kiosk(sound) as kiosk:
        kiosk.call()
        for _ in range(2):
            await until(lambda: kiosk.chunks > 10, 5)
            await sound.remove_source()
            took = await until(lambda: reason_of(kiosk.microphone) is Reason.UNPLUGGED, 5)
            assert took < 1.0  # measured: 0.02 s
            await sound.add_source()
            kiosk.chunks = 0
            await until(lambda: kiosk.chunks > 10, 5)
            await sound.remove_sink()
            took = await until(lambda: reason_of(kiosk.speaker) is Reason.UNPLUGGED, 5)
            assert took < 1.0
            await sound.add_sink()
            await until(lambda: kiosk.speaker.health.state is DeviceState.READY, 5)


async def test_unplug_is_noticed_at_once_outside_a_call(sound: PrivatePipewire) -> None:
    async with asyncio.timeout(30), Kiosk(sound) as kiosk:
        await sound.remove_source()
        assert await until(lambda: reason_of(kiosk.microphone) is Reason.UNPLUGGED, 5) < 1.0
        await sound.add_source()
        assert await until(lambda: kiosk.microphone.health.state is DeviceState.READY, 5) < 1.0


@pytest.mark.parametrize("in_call", [True, False], ids=["call", "idle"])
@pytest.mark.parametrize("service", SERVICES)
async def test_killed_service_is_told_and_back(
    sound: PrivatePipewire, service: str, in_call: bool
) -> None:
    async with asyncio.timeout(60), Kiosk(sound) as kiosk:
        if in_call:
            kiosk.call()
            await until(lambda: kiosk.chunks > 10, 5)
        sound.signal(service, signal.SIGKILL)
        await until(lambda: reason_of(kiosk.speaker) is not None, 5)
        await until(lambda: reason_of(kiosk.microphone) is not None, 5)
        await sound.restart(service)
        kiosk.chunks = 0
        await until(lambda: kiosk.speaker.health.state is DeviceState.READY, 5)
        await until(lambda: kiosk.microphone.health.state.usable, 5)
        if in_call:
            await until(lambda: kiosk.chunks > 10, 5)


@pytest.mark.parametrize(
    ("service", "in_call"),
    [(PIPEWIRE, True), (WIREPLUMBER, True), (PULSE, True), (WIREPLUMBER, False)],
)
async def test_stopped_service_is_told_and_never_stops_the_loop(
    sound: PrivatePipewire, service: str, in_call: bool
) -> None:
    lags: list[float] = []

    machine: list[float] = []
    """The same of a thread that has nothing to do with the loop: a busy machine delays both."""
    over = threading.Event()

    def measure_machine() -> None:
        while not over.is_set():
            before = time.monotonic()
            time.sleep(0.005)
            machine.append(time.monotonic() - before - 0.005)

    async def measure() -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.005)
            lags.append(time.monotonic() - before - 0.005)

    async with asyncio.timeout(60), Kiosk(sound) as kiosk:
        if in_call:
            kiosk.call()
            await until(lambda: kiosk.chunks > 10, 5)
        measuring = asyncio.create_task(measure())
        beside = asyncio.create_task(asyncio.to_thread(measure_machine))
        sound.signal(service, signal.SIGSTOP)
        try:
            await until(lambda: reason_of(kiosk.speaker) is Reason.NO_ANSWER, 6)
            await until(lambda: reason_of(kiosk.microphone) is Reason.NO_ANSWER, 6)
        finally:
            sound.signal(service, signal.SIGCONT)
            over.set()
        kiosk.chunks = 0
        await until(lambda: kiosk.speaker.health.state is DeviceState.READY, 6)
        await until(lambda: kiosk.microphone.health.state.usable, 6)
        if in_call:
            await until(lambda: kiosk.chunks > 10, 6)
        measuring.cancel()
        await asyncio.wait([measuring, beside])
    own = sorted(lags)[int(len(lags) * 0.99)] - sorted(machine)[int(len(machine) * 0.99)]
    assert own < 0.05
    assert max(lags) < 1.0  # what holds the whole process up shows in both


async def test_fifty_deaths_of_the_server_leave_nothing(sound: PrivatePipewire) -> None:
    news = asyncio.Event()
    listening = asyncio.create_task(watch.listen(news.set))
    own = psutil.Process()

    async def die_and_return() -> None:
        news.clear()
        await sound.restart(PULSE)
        await asyncio.wait_for(news.wait(), 10)

    async def still_hears() -> None:
        news.clear()
        while not news.is_set():
            await sound.remove_source()
            await sound.add_source()
            await asyncio.sleep(0.05)

    async with asyncio.timeout(100):
        await die_and_return()
        await still_hears()
        files, tasks = own.num_fds(), len(asyncio.all_tasks())
        for _ in range(50):
            await die_and_return()
        await still_hears()
        # The watch may have been between two connections when the first were counted.
        assert own.num_fds() <= files + 5
        assert len(asyncio.all_tasks()) <= tasks + 5
    sound.signal(PULSE, signal.SIGSTOP)  # and it ends beside a server that does not answer
    listening.cancel()
    await asyncio.wait_for(asyncio.wait([listening]), 2)
    sound.signal(PULSE, signal.SIGCONT)


async def test_server_that_dies_over_a_question_is_a_device_error(sound: PrivatePipewire) -> None:
    async def ask() -> None:
        async with server() as pulse:
            sound.signal(PULSE, signal.SIGSTOP)
            asyncio.get_running_loop().call_later(0.2, sound.signal, PULSE, signal.SIGKILL)
            await pulse.sink_list()

    with pytest.raises(DeviceError) as caught:
        await asyncio.wait_for(ask(), 10)
    assert caught.value.reason is Reason.NO_ANSWER
    assert "gone" in caught.value.detail


async def test_no_recorder_outlives_a_killed_daemon(sound: PrivatePipewire) -> None:
    daemon = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SPEAKS_FOR_ITSELF, stderr=asyncio.subprocess.PIPE
    )
    assert daemon.stderr is not None
    assert await asyncio.wait_for(daemon.stderr.readline(), 20) == b"open\n"
    children = psutil.Process(daemon.pid).children(recursive=True)
    assert {child.name() for child in children} == {"parec", "pacat"}
    os.kill(daemon.pid, signal.SIGKILL)
    await daemon.communicate()
    gone, alive = await asyncio.to_thread(psutil.wait_procs, children, timeout=5)
    assert len(gone) == 2
    assert not alive
