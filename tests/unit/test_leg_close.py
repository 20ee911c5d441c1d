"""A leg whose connection takes long to close, as on a machine that is starved."""

from __future__ import annotations

import asyncio
from typing import Any

import psutil
import pytest

from kioskd.call import leg as leg_module
from kioskd.call.leg import Leg
from kioskd.call.media import CameraTrack, MicrophoneTrack


async def never() -> Any:
    """Give nothing."""
    await asyncio.Event().wait()


async def heard(_: bytes) -> None:
    """Play nothing."""


async def test_what_a_slow_close_had_not_ended_is_ended_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(leg_module, "CLOSE_S", 0.01)
    sockets = len(psutil.Process().net_connections("udp"))
    leg = Leg(
        ice_servers=[],
        audio=MicrophoneTrack(never),
        video=CameraTrack(never),
        on_control=lambda _: None,
        on_document=lambda *_: None,
        on_remote_video=lambda *_: None,
        on_remote_audio=heard,
        on_state=lambda _: None,
    )
    await leg.offer()
    assert len(psutil.Process().net_connections("udp")) > sockets
    pc: Any = leg._pc
    transceiver = pc.getTransceivers()[0]
    stop, go_on = transceiver.stop, asyncio.Event()

    async def slow() -> None:
        await go_on.wait()
        await stop()

    transceiver.stop = slow
    await leg.close()
    assert pc.iceConnectionState != "closed"
    (closing,) = (one for one in asyncio.all_tasks() if one.get_name() == "leg connection close")
    go_on.set()
    async with asyncio.timeout(10):
        await closing
    assert pc.iceConnectionState == "closed"
    assert len(psutil.Process().net_connections("udp")) == sockets
