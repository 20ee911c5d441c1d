"""A kiosk's leg in a network of its own, which lets one TCP port out: a town hall's firewall.

Run as `python -m tests.peer.firewalled_kiosk SOCKET PORT SERVER...` in a new network namespace.
What comes to PORT on loopback leaves by the unix socket SOCKET; each SERVER is JSON. The offer is
written to the output, the answer read from the input, then whatever the agent says is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import socket
import struct
import sys

import structlog

from kioskd.call.ice import IceServer, choose
from kioskd.call.leg import Leg
from kioskd.call.media import CameraTrack, MicrophoneTrack
from kioskd.errors import DeviceError, Reason
from kioskd.hal.camera import Frame
from kioskd.hal.microphone import AudioChunk

SIOCSIFFLAGS, IFF_UP = 0x8914, 1  # linux/sockios.h, linux/if.h


def loopback_up() -> None:
    """A new network has a loopback that is down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        fcntl.ioctl(one, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))


Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def both_ways(one: Stream, other: Stream) -> None:
    """Hand on what comes on either, until one of them ends; close both."""

    async def carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()

    tasks = [
        asyncio.create_task(carry(one[0], other[1])),
        asyncio.create_task(carry(other[0], one[1])),
    ]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for _, writer in (one, other):
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _open_port(way_out: str, port: int) -> asyncio.Server:
    async def take(near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        await both_ways((near, back), await asyncio.open_unix_connection(way_out))

    return await asyncio.start_server(take, "127.0.0.1", port)


async def _no_picture() -> Frame:
    raise DeviceError(Reason.NOT_FOUND)


async def _no_sound() -> AudioChunk:
    raise DeviceError(Reason.NOT_FOUND)


async def _ignore(_: bytes) -> None:
    """The agent's voice is not listened to."""


def _tell(**what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def main(way_out: str, port: int, servers: list[IceServer]) -> None:
    """Offer a leg through whichever server can be reached, and tell what is heard on it."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    loopback_up()
    async with await _open_port(way_out, port):
        chosen = await choose(servers)
        leg = Leg(
            ice_servers=chosen,
            audio=MicrophoneTrack(_no_sound),
            video=CameraTrack(_no_picture),
            on_control=lambda text: _tell(heard=text),
            on_document=lambda _, __: None,
            on_remote_video=lambda _, __, ___: None,
            on_remote_audio=_ignore,
            on_state=lambda state: _tell(state=state),
        )
        _tell(chosen=[one.url for one in chosen], offer=await leg.offer())
        answer = await asyncio.to_thread(sys.stdin.readline)
        await leg.accept(json.loads(answer))
        await asyncio.to_thread(sys.stdin.readline)
        await leg.close()


if __name__ == "__main__":
    _, out, port, *servers = sys.argv
    asyncio.run(main(out, int(port), [IceServer(**json.loads(one)) for one in servers]))
