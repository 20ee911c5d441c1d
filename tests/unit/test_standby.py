"""A talk that stands by: gathered in time, used once, renewed, and nothing left of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from kioskd.app import standby as module
from kioskd.app.standby import NAME, Standby
from kioskd.errors import CallError
from kioskd.runtime.tasks import TaskOwner
from tests.e2e.stage import wait_for


class ScriptedTalk:
    """Gathers when the test lets it."""

    def __init__(self, gathers: asyncio.Event, *, fails: bool) -> None:
        self.closed = False
        self.prepared = False
        self._gathers = gathers
        self._fails = fails

    async def prepare(self) -> str:
        await self._gathers.wait()
        if self._fails:
            raise CallError("no candidate: the machine has no address")
        self.prepared = True
        return "offer"

    async def close(self) -> None:
        await asyncio.sleep(0)
        self.closed = True


class Case:
    def __init__(self) -> None:
        self.made: list[ScriptedTalk] = []
        self.gathers = asyncio.Event()
        self.served = False
        self.failures = 0
        self.tasks = TaskOwner("test")
        self.standby = Standby(self.tasks, self._make)  # type: ignore[arg-type]

    async def _make(self) -> tuple[ScriptedTalk, bool]:
        talk = ScriptedTalk(self.gathers, fails=self.failures > 0)
        self.failures -= 1
        self.made.append(talk)
        return talk, self.served

    def take(self) -> object:
        return self.standby.take()

    async def until(self, true: Callable[[], bool]) -> None:
        await wait_for(true, 10, "it did not happen")

    async def ready(self) -> None:
        self.gathers.set()
        self.standby.begin()
        await self.until(lambda: bool(self.made) and self.made[-1].prepared)
        await asyncio.sleep(0)

    async def stop(self) -> None:
        await self.tasks.stop(NAME)


@pytest.fixture
def case(monkeypatch: pytest.MonkeyPatch) -> Case:
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    return Case()


async def test_what_is_taken_is_the_takers_and_no_other_is_made(case: Case) -> None:
    await case.ready()
    assert case.take() is case.made[0]
    assert case.take() is None
    await case.stop()
    assert not case.made[0].closed
    assert len(case.made) == 1


async def test_one_that_still_gathers_is_taken_too(case: Case) -> None:
    case.standby.begin()
    await case.until(lambda: bool(case.made))
    assert case.take() is case.made[0]
    await case.stop()
    assert not case.made[0].closed


async def test_what_nobody_takes_is_closed_whatever_it_was_doing(case: Case) -> None:
    case.standby.begin()
    await case.until(lambda: bool(case.made))
    await case.stop()
    await case.ready()
    await case.stop()
    assert [talk.closed for talk in case.made] == [True, True]
    assert case.take() is None


async def test_it_is_made_anew_when_the_addresses_change(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    await case.ready()
    monkeypatch.setattr(module, "addresses", lambda: frozenset({"198.51.100.7"}))
    await case.until(lambda: len(case.made) == 2 and case.made[0].closed)
    assert case.take() is case.made[1]
    await case.stop()


async def test_what_was_gathered_elsewhere_is_not_used(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_S", 60.0)
    await case.ready()
    monkeypatch.setattr(module, "addresses", lambda: frozenset({"198.51.100.7"}))
    assert case.take() is None
    await case.stop()
    assert case.made[0].closed


async def test_what_servers_told_is_asked_anew_in_time(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FRESH_S", 0.05)
    case.served = True
    await case.ready()
    await case.until(lambda: len(case.made) >= 3)
    await case.stop()
    assert all(talk.closed for talk in case.made)


async def test_one_that_cannot_gather_is_closed_and_another_tried(case: Case) -> None:
    case.failures = 2
    await case.ready()
    assert [talk.closed for talk in case.made] == [True, True, False]
    await case.stop()
