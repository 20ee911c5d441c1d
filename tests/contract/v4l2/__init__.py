"""A camera for tests: the V4L2 shim (shim.c), built, with films to play."""

from __future__ import annotations

import io
import struct
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from drivers.camera.picture import Painter

FPS = 30
FRAMES = 11
"""A prime: who looks each so many pictures sees another one each time."""
SHIM = Path(__file__).parent / "shim.c"


def build(library: Path) -> None:
    """Compile the shim."""
    subprocess.run(
        ["gcc", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", library, SHIM, "-ldl"],
        check=True,
        timeout=60,
    )


def film(pictures: Iterable[bytes], width: int, height: int) -> bytes:
    """Return I420 pictures as MJPEG, each after its length, as the shim wants them."""
    with av.open(io.BytesIO(), "w", format="mjpeg") as container:
        stream = container.add_stream("mjpeg", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuvj420p"
        packets = []
        for picture in pictures:
            packets += stream.encode(to_video(picture, width))
        packets += stream.encode()
    return b"".join(struct.pack("<I", packet.size) + bytes(packet) for packet in packets)


def to_video(i420: bytes, width: int) -> av.VideoFrame:
    """Return a picture as a frame of PyAV's."""
    picture = np.frombuffer(i420, np.uint8).reshape(-1, width)
    return av.VideoFrame.from_ndarray(picture, format="yuv420p")


def painted(width: int, height: int) -> Iterator[bytes]:
    """Yield FRAMES pictures with counters."""
    painter = Painter(width, height)
    return (painter.paint(number, 1000 + number) for number in range(FRAMES))


def plain(width: int, height: int, luma: int, noise: float = 4) -> Iterator[bytes]:
    """Yield FRAMES pictures of nothing, with a sensor's noise: a cap (16), a hand (80)."""
    random = np.random.default_rng(luma)
    for _ in range(FRAMES):
        grey = np.clip(luma + random.normal(0, noise, width * height), 16, 235)
        yield grey.astype(np.uint8).tobytes() + bytes([128]) * (width * height // 2)


@dataclass(frozen=True)
class ShimCamera:
    """A camera in `folder`, played by the shim at `library`; made by `make`."""

    library: Path
    folder: Path

    @property
    def device(self) -> Path:
        """The node to open."""
        return self.folder / "video0"

    @property
    def environment(self) -> dict[str, str]:
        """What the process that opens it needs in its environment."""
        return {
            "LD_PRELOAD": str(self.library),
            "SHIM_DEVICE": str(self.device),
            "SHIM_FOLDER": str(self.folder),
        }

    def fault(self, name: str) -> None:
        """Inject a fault of shim.c's; "" mends it."""
        partial = self.folder / "fault.part"
        partial.write_text(name)
        partial.replace(self.folder / "fault")


def make(folder: Path, width: int = 640, height: int = 480) -> ShimCamera:
    """Build a camera with the films of all faults in `folder`."""
    camera = ShimCamera(folder / "shim.so", folder)
    build(camera.library)
    camera.device.touch()
    films = {
        "frames": film(painted(width, height), width, height),
        "frames-black": film(plain(width, height, 16), width, height),
        "frames-covered": film(plain(width, height, 80), width, height),
        "frames-size": film(painted(320, 240), 320, 240),
    }
    for name, data in films.items():
        (folder / name).write_bytes(data)
    return camera
