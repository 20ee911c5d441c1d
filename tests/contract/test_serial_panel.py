"""The serial panel against an emulated one over a pty, and its line protocol."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.panel import protocol
from drivers.panel.protocol import Ack, Alive, Decoder, Event, Hello, Message, SetLamp
from drivers.panel.serial_panel import SerialPanel, SerialPanelConfig
from kioskd.errors import DeviceAbsent, DeviceBusy, DeviceError, Reason
from kioskd.hal.device import DeviceState
from kioskd.hal.panel import Lamp, LampPattern, PanelEvent
from tests.contract.panel_emulator import PanelEmulator

MESSAGES: st.SearchStrategy[Message] = st.one_of(
    st.builds(Hello, st.integers(0, 99)),
    st.builds(Alive),
    st.builds(Event, st.integers(0, 10**9), st.sampled_from(PanelEvent)),
    st.builds(SetLamp, st.integers(0, 10**9), st.sampled_from(Lamp), st.sampled_from(LampPattern)),
    st.builds(Ack, st.integers(0, 10**9)),
)

DARK = dict.fromkeys(Lamp, LampPattern.OFF)
FILMED = {**DARK, Lamp.CAMERA: LampPattern.ON}


@pytest.fixture
async def emulator() -> AsyncIterator[PanelEmulator]:
    one = PanelEmulator()
    yield one
    one.unplug()


@pytest.fixture
async def panel(emulator: PanelEmulator) -> AsyncIterator[SerialPanel]:
    one = SerialPanelConfig(device=emulator.device).build()
    await one.open()
    async with asyncio.timeout(10):
        await emulator.until(lambda: emulator.lamps == DARK)
    yield one
    await one.close()


async def test_events_arrive_once_each_though_repeated(
    panel: SerialPanel, emulator: PanelEmulator
) -> None:
    for sequence, event in ((1, PanelEvent.PRESS), (1, PanelEvent.PRESS), (2, PanelEvent.HANG_UP)):
        emulator.press(sequence, event)
    async with asyncio.timeout(5):
        assert [await panel.event(), await panel.event()] == [
            PanelEvent.PRESS,
            PanelEvent.HANG_UP,
        ]
        await emulator.until(lambda: len(emulator.acknowledged) >= 3)
    assert emulator.acknowledged == [1, 1, 2]


async def test_noise_half_lines_and_floods_are_survived(
    panel: SerialPanel, emulator: PanelEmulator
) -> None:
    emulator.write(b"\xff\x00garbage\n" + b"x" * 3000)
    emulator.write(b"\nEVENT 9 press*0000\nEVENT")
    emulator.write(b" 9 pre\n")
    emulator.press(10, PanelEvent.NEXT)
    async with asyncio.timeout(5):
        assert await panel.event() is PanelEvent.NEXT


async def test_a_lamp_is_set_and_a_lost_acknowledgement_repeated(
    panel: SerialPanel, emulator: PanelEmulator
) -> None:
    emulator.drop_acks = 1
    await panel.set_lamp(Lamp.CAMERA, LampPattern.ON)
    assert emulator.lamps == FILMED


async def test_unplugging_is_told_to_who_waits(panel: SerialPanel, emulator: PanelEmulator) -> None:
    waiting = asyncio.create_task(panel.event())
    assert (await panel.check()).state is DeviceState.READY
    emulator.unplug()
    async with asyncio.timeout(5):
        with pytest.raises(DeviceAbsent) as gone:
            await waiting
    assert gone.value.reason is Reason.UNPLUGGED
    with pytest.raises(DeviceAbsent):
        await panel.check()


async def test_another_version_and_silence_are_told_apart() -> None:
    for version, reason in ((2, Reason.PROTOCOL), (None, Reason.NO_ANSWER)):
        emulator = PanelEmulator(version)
        panel = SerialPanelConfig(device=emulator.device).build()
        try:
            with pytest.raises(DeviceError) as refused:
                await panel.open()
            assert refused.value.reason is reason
        finally:
            await panel.close()
            emulator.unplug()


async def test_a_port_that_is_not_there_and_one_that_is_taken(
    panel: SerialPanel, emulator: PanelEmulator
) -> None:
    missing = SerialPanelConfig(device=Path("/dev/kiosk/no-such-panel")).build()
    for attempt in (missing.check, missing.open):
        with pytest.raises(DeviceAbsent) as absent:
            await attempt()
        assert absent.value.reason is Reason.NOT_FOUND
    second = SerialPanelConfig(device=emulator.device).build()
    with pytest.raises(DeviceBusy):
        await second.open()


async def test_a_restarted_panel_gets_its_lamps_again_and_counts_anew(
    panel: SerialPanel, emulator: PanelEmulator
) -> None:
    async with asyncio.timeout(10):
        await panel.set_lamp(Lamp.CAMERA, LampPattern.ON)
        emulator.press(1, PanelEvent.PRESS)
        assert await panel.event() is PanelEvent.PRESS
        emulator.lamps.clear()
        emulator.write(protocol.encode(Hello(protocol.VERSION)))
        emulator.press(1, PanelEvent.NEXT)
        assert await panel.event() is PanelEvent.NEXT
        await emulator.until(lambda: emulator.lamps == FILMED)


async def test_a_panel_opened_again_gets_the_lamp_that_is_wanted_by_now(
    panel: SerialPanel, emulator: PanelEmulator
) -> None:
    async with asyncio.timeout(10):
        await panel.set_lamp(Lamp.CAMERA, LampPattern.ON)
        await panel.close()
        with pytest.raises(DeviceError):
            await panel.set_lamp(Lamp.CAMERA, LampPattern.OFF)
        await panel.open()
        await emulator.until(lambda: emulator.lamps == DARK)


async def test_a_flood_of_events_is_dropped_counted_and_told(
    panel: SerialPanel, emulator: PanelEmulator
) -> None:
    async with asyncio.timeout(20):
        for sequence in range(1, 101):
            emulator.press(sequence, PanelEvent.NEXT)
            await asyncio.sleep(0)
        await emulator.until(lambda: panel.dropped > 0)
        health = await panel.check()
    assert (health.state, health.reason) == (DeviceState.DEGRADED, Reason.PROTOCOL)


@pytest.mark.parametrize("garbage", [b"\xf0\x8e\x00\xff" * 60, b"\xfe\x01\n" * 5])
async def test_garbage_instead_of_hello_names_the_baud_rate(garbage: bytes) -> None:
    emulator = PanelEmulator(None)
    panel = SerialPanelConfig(device=emulator.device).build()
    try:
        opening = asyncio.create_task(panel.open())
        while not opening.done():
            emulator.write(garbage)
            await asyncio.wait([opening], timeout=0.2)
        with pytest.raises(DeviceError, match="baud rate") as refused:
            await opening
        assert refused.value.reason is Reason.PROTOCOL
    finally:
        await panel.close()
        emulator.unplug()


async def test_open_and_close_twice(panel: SerialPanel) -> None:
    await panel.open()
    await panel.close()
    await panel.close()
    with pytest.raises(DeviceError):
        await panel.event()


@given(MESSAGES)
def test_every_message_survives_its_line(message: Message) -> None:
    line = protocol.encode(message)
    assert len(line) <= protocol.LINE_LIMIT
    assert Decoder().feed(line) == [message]


@given(st.binary(max_size=300), MESSAGES, st.integers(1, 7))
def test_after_any_noise_the_next_line_is_read(noise: bytes, message: Message, cut: int) -> None:
    decoder = Decoder()
    data = noise + b"\n" + protocol.encode(message)
    found: list[Message] = []
    for start in range(0, len(data), cut):
        found += decoder.feed(data[start : start + cut])
    assert found[-1] == message
