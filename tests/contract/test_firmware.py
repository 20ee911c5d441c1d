"""The reference firmware itself, compiled for this machine, at the other end of a pty."""

from __future__ import annotations

import asyncio
import os
import pty
import subprocess
import tty
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from drivers.panel import protocol
from drivers.panel.protocol import Hello
from drivers.panel.serial_panel import SerialPanel, SerialPanelConfig
from kioskd.hal.device import DeviceState
from kioskd.hal.panel import Lamp, LampPattern, PanelEvent

SKETCH = Path(__file__).parents[2] / "docs" / "panel-firmware" / "panel.ino"
SHIM = Path(__file__).parent / "firmware" / "arduino.h"
WITHIN_S = 10.0
PINS = {
    PanelEvent.PRESS: 2,
    PanelEvent.HANG_UP: 3,
    PanelEvent.NEXT: 4,
    PanelEvent.PREVIOUS: 5,
    PanelEvent.VOLUME_UP: 6,
    PanelEvent.VOLUME_DOWN: 7,
}
HOOK, CALL_LAMP, CAMERA_LAMP = 8, 9, 10


@pytest.fixture(scope="module")
def firmware(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("firmware") / "panel"
    flags = ["-std=c++11", "-Wall", "-Wextra", "-Werror", "-include", str(SHIM), "-x", "c++"]
    subprocess.run(["g++", *flags, str(SKETCH), "-o", str(program)], check=True, timeout=120)
    return program


@dataclass
class Board:
    """The running firmware: its pins, and the port that the kiosk opens."""

    process: asyncio.subprocess.Process
    device: Path
    port: int
    lit: dict[int, int] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def set(self, pin: int, level: int) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{pin} {level}\n".encode())

    async def watch(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            pin, level = line.split()
            self.lit[int(pin)] = int(level)
            self.changed.set()

    async def until(self, pin: int, level: int) -> None:
        async with asyncio.timeout(WITHIN_S):
            while self.lit.get(pin) != level:
                self.changed.clear()
                await self.changed.wait()


@pytest.fixture
async def board(firmware: Path) -> AsyncIterator[Board]:
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    process = await asyncio.create_subprocess_exec(
        firmware,
        str(ours),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        pass_fds=(ours,),
    )
    made = Board(process, Path(os.ttyname(theirs)), theirs)
    watching = asyncio.create_task(made.watch())
    yield made
    assert process.stdin is not None
    process.stdin.close()
    await process.wait()
    await watching
    os.close(ours)
    os.close(theirs)


@pytest.fixture
async def panel(board: Board) -> AsyncIterator[SerialPanel]:
    one = SerialPanelConfig(device=board.device).build()
    async with asyncio.timeout(WITHIN_S):
        await one.open()
    yield one
    await one.close()


async def event(panel: SerialPanel) -> PanelEvent:
    async with asyncio.timeout(WITHIN_S):
        return await panel.event()


async def test_every_button_is_told_once(board: Board, panel: SerialPanel) -> None:
    for name, pin in PINS.items():
        board.set(pin, 0)
        assert await event(panel) is name
        board.set(pin, 1)
        await asyncio.sleep(0.1)  # the button is really let go: longer than it may bounce
    board.set(PINS[PanelEvent.PRESS], 0)
    assert await event(panel) is PanelEvent.PRESS, "nothing was told twice in between"


async def test_the_hook_tells_both_ways(board: Board, panel: SerialPanel) -> None:
    board.set(HOOK, 0)
    assert await event(panel) is PanelEvent.HANDSET_REPLACED
    board.set(HOOK, 1)
    assert await event(panel) is PanelEvent.HANDSET_LIFTED


async def test_lamps_shine_blink_and_go_out(board: Board, panel: SerialPanel) -> None:
    await panel.set_lamp(Lamp.CAMERA, LampPattern.ON)
    await board.until(CAMERA_LAMP, 1)
    await panel.set_lamp(Lamp.CAMERA, LampPattern.OFF)
    await board.until(CAMERA_LAMP, 0)
    await panel.set_lamp(Lamp.CALL, LampPattern.BLINK)
    for _ in range(2):
        await board.until(CALL_LAMP, 1)
        await board.until(CALL_LAMP, 0)


async def test_without_the_kiosk_its_lamps_go_out(board: Board, panel: SerialPanel) -> None:
    await panel.set_lamp(Lamp.CAMERA, LampPattern.ON)
    await board.until(CAMERA_LAMP, 1)
    await panel.close()
    await board.until(CAMERA_LAMP, 0)


async def test_it_is_heard_all_the_time(panel: SerialPanel) -> None:
    for _ in range(4):  # longer than a silence may be
        await asyncio.sleep(1)
        assert (await panel.check()).state is DeviceState.READY


async def test_noise_does_not_reach_it(board: Board, panel: SerialPanel) -> None:
    """Garbage, half lines, wrong checksums, overlong lines: the next good line is read."""
    for noise in (b"\x00\xff\n", b"LAMP 1 camera on*0000\n", b"x" * 500 + b"\n", b"*\n", b"LAMP"):
        os.write(panel._port.fileno(), noise)  # type: ignore[union-attr]
    os.write(panel._port.fileno(), b"\n" + protocol.encode(Hello(1)))  # type: ignore[union-attr]
    await panel.set_lamp(Lamp.CAMERA, LampPattern.ON)
    await board.until(CAMERA_LAMP, 1)
