"""The emulated camera (shim.c): how to build it, fill it with pictures and break it.

A daemon under it is started with `environment()` and `kioskd demo --camera NODE`, NODE being
`ShimCamera.node`; `fault` works from outside at any time, on a camera that is open too.
"""

from __future__ import annotations

import io
import struct
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from drivers.camera.fake import Chip
from drivers.camera.picture import Painter
from kioskd.hal.camera import Frame, VideoFormat

SOURCE = Path(__file__).parent / "shim.c"
WIDTH, HEIGHT, FPS = 640, 480, 30
FRAMES = 8


@dataclass(frozen=True)
class ShimCamera:
    """An emulated camera: the built library and the folder with its node and its files."""

    library: Path
    folder: Path
    h264: bool = False

    @property
    def node(self) -> Path:
        """The path that is the camera."""
        return self.folder / "video0"

    def environment(self) -> dict[str, str]:
        """Return what the daemon's environment needs."""
        return {
            "LD_PRELOAD": str(self.library),
            "SHIM_DEVICE": str(self.node),
            "SHIM_FOLDER": str(self.folder),
            "SHIM_FORMAT": "h264" if self.h264 else "mjpeg",
        }

    def fault(self, name: str) -> None:
        """Break it (the words are in shim.c), or mend it with an empty name."""
        fresh = self.folder / "fault.new"
        fresh.write_text(name)
        fresh.replace(self.folder / "fault")


def build(folder: Path) -> Path:
    """Compile the shim; return the library."""
    library = folder / "shim.so"
    subprocess.run(
        ["gcc", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"],
        check=True,
        timeout=60,
    )
    return library


def fill(folder: Path) -> None:
    """Make the node and the pictures: good ones, black, covered and of another size."""
    (folder / "video0").touch()
    (folder / "frames").write_bytes(painted())
    (folder / "other").write_bytes(painted(320, 240))
    noise = np.random.default_rng(7)
    shade = np.tile(np.linspace(50, 80, WIDTH), (HEIGHT, 1))
    for name, light in (("black", np.full((HEIGHT, WIDTH), 16.0)), ("covered", shade)):
        pictures = (grey(light + noise.normal(0, 2, light.shape)) for _ in range(FRAMES))
        (folder / name).write_bytes(mjpeg(pictures))


def grey(luma: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> bytes:
    """Return an I420 picture without colour."""
    y = np.clip(luma, 16, 235).astype(np.uint8)
    return y.tobytes() + bytes([128]) * (y.size // 2)


def painted(width: int = WIDTH, height: int = HEIGHT) -> bytes:
    """Return pictures of the test pattern, as `mjpeg` does."""
    painter = Painter(width, height)
    return mjpeg((painter.paint(n, 1000 + n) for n in range(FRAMES)), width, height)


def h264() -> bytes:
    """Return pictures of the test pattern as constrained baseline, as `mjpeg` does."""
    chip, painter = Chip(VideoFormat(WIDTH, HEIGHT, FPS), 400_000), Painter(WIDTH, HEIGHT)
    pictures = (Frame(WIDTH, HEIGHT, painter.paint(n, 1000 + n), n, 0.0) for n in range(FRAMES))
    coded = [chip.code(one).data for one in pictures]
    return b"".join(struct.pack("<I", len(one)) + one for one in coded)


def mjpeg(pictures: Iterable[bytes], width: int = WIDTH, height: int = HEIGHT) -> bytes:
    """Return I420 pictures as MJPEG, each after its length, as the shim wants them."""
    with av.open(io.BytesIO(), "w", format="mjpeg") as container:
        stream = container.add_stream("mjpeg", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuvj420p"
        packets = []
        for i420 in pictures:
            planes = np.frombuffer(i420, np.uint8).reshape(-1, width)
            packets += stream.encode(av.VideoFrame.from_ndarray(planes, format="yuv420p"))
        packets += stream.encode()
    return b"".join(struct.pack("<I", packet.size) + bytes(packet) for packet in packets)
