"""When a path dies: which leg the talk is on, and what is said and taken on it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from kioskd.app import talk as module
from kioskd.app.devices import Devices
from kioskd.app.run import build_devices
from kioskd.app.sensors import Sensors
from kioskd.app.talk import Talk
from kioskd.call import control
from kioskd.call.channels import TO_AGENT
from kioskd.call.ice import IceServer
from kioskd.call.leg import LegState
from kioskd.call.sending import Sending
from kioskd.errors import CallError
from kioskd.settings import read_toml, validate
from kioskd.visit import events as ev
from kioskd.visit.events import Event
from kioskd.visit.state import Media
from kioskd.visit.words import LineQuality
from tests.e2e.stage import wait_for

CONFIG = Path(__file__).parents[2] / "config"
DEAD_S, ATTEMPT_S, LOST_S, HEARTBEAT_S = 0.2, 0.6, 2.0, 0.05


class ScriptedLeg:
    """A leg whose path the test holds in its hand."""

    made: list[ScriptedLeg]
    fails = 0
    """So many of the next offers cannot be made."""

    def __init__(self, **parts: Any) -> None:
        self.parts = parts
        self.closed = self.carries = False
        self.said: list[dict[str, Any]] = []
        self._packets = 0
        self.delivered = 0
        self.made.append(self)

    @property
    def packets_received(self) -> int:
        self._packets += self.carries
        return self._packets

    async def offer(self) -> str:
        if ScriptedLeg.fails:
            ScriptedLeg.fails -= 1
            raise CallError("no candidate: the machine has no address")
        return f"offer {self.made.index(self)}"

    async def accept(self, sdp: str) -> None:
        if sdp == "bad":
            raise CallError("cannot use the answer")

    def send_control(self, text: str) -> None:
        if not self.carries:
            return
        self.said.append(json.loads(text))
        self.delivered += 1
        if self.said[-1]["type"] == "heartbeat":
            self.hear(control.Heartbeat(at=1.0, echo=self.said[-1]["at"]))

    def hear(self, message: control.Heartbeat) -> None:
        self.parts["on_control"](message.model_dump_json())

    def connect(self) -> None:
        self.carries = True
        self.parts["on_state"](LegState.CONNECTED)

    @property
    def beats(self) -> int:
        return sum(one["type"] == "heartbeat" for one in self.said)

    def heard(self) -> list[str]:
        return [one["type"] for one in self.said if one["type"] != "heartbeat"]

    async def close(self) -> None:
        self.carries = False
        await asyncio.sleep(0.05)
        self.closed = True


class Case:
    """A talk in a call, on its first leg."""

    def __init__(self, devices: Devices) -> None:
        self.posted: list[Event] = []
        self.offers: list[str] = []
        self.attached: list[Any] = []
        self.frames: list[str | bytes] = []
        self.pictures: list[tuple[bytes, int]] = []
        self.doubts = 0
        self.task: asyncio.Task[None]
        self.talk = Talk(
            [],
            devices,
            Sensors(devices, lambda _: None, lambda _: None),
            hello=lambda: [control.Media(audio=True, video=True)],
            post=self.posted.append,
            on_control=lambda _: None,
            on_document=lambda _, frame: self.frames.append(frame),
            on_remote_video=lambda data, at, _: self.pictures.append((data, at)),
            on_remote_sound=lambda _: None,
            on_leg=self.attached.append,
            on_dead=self._doubt,
            sending=Sending(),
        )

    async def _doubt(self) -> list[IceServer]:
        self.doubts += 1
        return []

    async def until(self, true: Callable[[], bool]) -> None:
        await wait_for(true, 10, "it did not happen")

    async def beats(self, leg: ScriptedLeg, seconds: float) -> None:
        """Wait for so many seconds of heartbeats on a leg that carries."""
        end = leg.beats + round(seconds / HEARTBEAT_S)
        await self.until(lambda: leg.beats >= end)

    def qualities(self) -> list[LineQuality]:
        return [one.quality for one in self.posted if isinstance(one, ev.LineChanged)]

    def used(self) -> Any:
        """The leg in use."""
        return self.talk.leg

    def legs(self) -> list[ScriptedLeg]:
        return ScriptedLeg.made


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all times be a tenth, and the legs be the test's."""
    for name, value in {"DEAD_S": DEAD_S, "ATTEMPT_S": ATTEMPT_S, "LOST_S": LOST_S}.items():
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(module, "LOOK_S", 0.02)
    monkeypatch.setattr(module, "HEARTBEAT_S", HEARTBEAT_S)
    monkeypatch.setattr(module, "Leg", ScriptedLeg)
    ScriptedLeg.made, ScriptedLeg.fails = [], 0


@asynccontextmanager
async def talking() -> AsyncIterator[Case]:
    raw = read_toml(CONFIG / "demo.toml")
    raw["services"] = read_toml(CONFIG / raw.pop("services_file"))["services"]
    raw["broker"] = {"host": "127.0.0.1", "port": 1, "tls": False}
    raw["identity"] = {"unsigned": True}
    case = Case(build_devices(validate(raw)))
    task = case.task = asyncio.create_task(case.talk.run(case.offers.append))
    try:
        await case.until(lambda: bool(case.offers))
        case.legs()[0].connect()
        await case.until(lambda: ev.LegConnected() in case.posted)
        yield case
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert all(leg.closed for leg in case.legs())


@pytest.mark.usefixtures("short")
async def test_a_path_that_carries_is_left_alone() -> None:
    async with talking() as case:
        await case.beats(case.legs()[0], DEAD_S * 3)
        assert case.offers == ["offer 0"]
        assert case.legs()[0].heard() == ["media"]
        assert case.qualities() == []


@pytest.mark.usefixtures("short")
async def test_another_leg_comes_into_use_and_all_is_said_again() -> None:
    async with talking() as case:
        first = case.legs()[0]
        case.talk.set_media(Media(audio=True, video=False))
        first.carries = False
        await case.until(lambda: len(case.offers) == 2)
        assert case.qualities() == [LineQuality.LOST]
        assert case.doubts == 1
        second = case.legs()[1]
        assert not second.parts["video"].enabled
        await case.talk.accept("answer")
        second.parts["on_document"](TO_AGENT, "early")
        assert case.frames == []
        assert not first.closed
        second.connect()
        await case.until(lambda: case.used() is second)
        assert case.attached == [first, second]
        assert case.frames == ["early"]
        assert second.heard() == ["media"]
        await case.until(lambda: first.closed)
        first.parts["on_document"](TO_AGENT, "late")
        assert case.frames == ["early"]
        await case.until(lambda: case.qualities() == [LineQuality.LOST, LineQuality.GOOD])
        assert case.talk.reconnections == 1


@pytest.mark.usefixtures("short")
async def test_a_path_that_comes_back_before_the_answer_stays() -> None:
    async with talking() as case:
        first = case.legs()[0]
        first.carries = False
        await case.until(lambda: len(case.offers) == 2)
        first.carries = True
        await case.until(lambda: case.qualities() == [LineQuality.LOST, LineQuality.GOOD])
        assert case.used() is first
        assert case.attached == [first]
        await case.until(lambda: case.legs()[1].closed)


@pytest.mark.usefixtures("short")
async def test_a_leg_that_was_answered_is_kept_to() -> None:
    async with talking() as case:
        first = case.legs()[0]
        first.carries = False
        await case.until(lambda: len(case.offers) == 2)
        await case.talk.accept("answer")
        first.carries = True
        second = case.legs()[1]
        await case.beats(first, DEAD_S)
        assert case.used() is first
        second.connect()
        await case.until(lambda: case.used() is second)


@pytest.mark.usefixtures("short")
async def test_a_leg_that_fails_or_has_a_bad_answer_is_followed_by_another() -> None:
    async with talking() as case:
        case.legs()[0].carries = False
        await case.until(lambda: len(case.offers) == 2)
        ScriptedLeg.fails = 1
        await case.talk.accept("bad")
        await case.until(lambda: len(case.offers) == 3)
        assert case.offers == ["offer 0", "offer 1", "offer 3"]
        case.legs()[3].connect()
        await case.until(lambda: case.used() is case.legs()[3])
        assert case.doubts == 3


@pytest.mark.usefixtures("short")
async def test_without_any_path_the_call_is_over() -> None:
    async with talking() as case:
        case.legs()[0].carries = False
        began = time.monotonic()
        await case.until(lambda: ev.LegFailed() in case.posted)
        assert time.monotonic() - began >= LOST_S
        assert len(case.offers) >= 3


@pytest.mark.usefixtures("short")
async def test_an_agent_who_cannot_hear_us_gets_another_leg(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "UNHEARD_S", DEAD_S)
    async with talking() as case:
        first = case.legs()[0]
        at = first.said[-1].get("at", 1.0)
        monkeypatch.setattr(first, "send_control", lambda _: None)  # lost on its way
        while len(case.offers) == 1:
            first.hear(control.Heartbeat(at=2.0, echo=at))
            await asyncio.sleep(0.02)
        assert case.qualities()[-1] is LineQuality.LOST


@pytest.mark.usefixtures("short")
async def test_a_heartbeat_that_waits_behind_a_document_costs_no_leg(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "UNHEARD_S", DEAD_S)
    async with talking() as case:
        first = case.legs()[0]
        at = first.said[-1].get("at", 1.0)
        monkeypatch.setattr(first, "send_control", lambda _: None)  # not yet
        for _ in range(50):  # five times UNHEARD_S
            first.delivered += 1  # of the document
            first.hear(control.Heartbeat(at=2.0, echo=at))
            await asyncio.sleep(DEAD_S / 10)
        assert len(case.offers) == 1


@pytest.mark.usefixtures("short")
async def test_pictures_are_the_newest_leg_s_in_one_line_of_time() -> None:
    async with talking() as case:
        first = case.legs()[0]
        first.parts["on_remote_video"](b"a", 1_000_000, True)
        first.carries = False
        await case.until(lambda: len(case.offers) == 2)
        second = case.legs()[1]
        second.parts["on_remote_video"](b"b", 0, False)  # of no use without a whole one
        first.parts["on_remote_video"](b"c", 1_100_000, False)
        second.parts["on_remote_video"](b"d", 50_000, True)
        first.parts["on_remote_video"](b"e", 1_200_000, True)
        assert [data for data, _ in case.pictures] == [b"a", b"c", b"d"]
        times = [at for _, at in case.pictures]
        assert times == sorted(times)


@pytest.mark.usefixtures("short")
async def test_who_is_cancelled_twice_has_closed_all_the_same() -> None:
    async with talking() as case:
        case.legs()[0].carries = False
        await case.until(lambda: len(case.offers) == 2)
        task = case.task
        for _ in range(4):  # the visit's end, its wipe, the daemon's end
            task.cancel()
            await asyncio.sleep(0)
        await asyncio.wait([task])
        assert task.cancelled()
        assert [leg.closed for leg in case.legs()] == [True, True]
