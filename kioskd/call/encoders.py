"""Which encoder the kiosk's calls use: what is wanted, what is there, and what really works."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeAlias

import structlog

from kioskd.call.aside import Aside
from kioskd.call.coding import LegCoder
from kioskd.errors import DeviceError
from kioskd.picture import h264, vpx
from kioskd.picture.encoded import Encoding

log = structlog.get_logger(__name__)

CLOSE_S: Final = 1.5
Finder: TypeAlias = Callable[[], list[h264.Kind]]


def vaapi(folder: Path = Path("/dev/dri")) -> list[h264.Kind]:
    """Return the encoders behind the graphics cards' render nodes."""
    return [h264.vaapi(str(node)) for node in sorted(folder.glob("renderD*"))]


def v4l2(folder: Path = Path("/sys/class/video4linux")) -> list[h264.Kind]:
    """Return the encoder of a system on a chip, where a device might be one.

    FFmpeg finds it among all video devices. A USB camera is none, and is not opened for that.
    """
    drivers = [node / "device/driver" for node in folder.glob("video*")]
    if any(one.exists() and one.resolve().name != "uvcvideo" for one in drivers):
        return [h264.V4L2]
    return []


FINDERS: Final[Mapping[Encoding, Finder]] = {
    Encoding.H264_V4L2M2M: v4l2,
    Encoding.H264_VAAPI: vaapi,
}


class Encoders:
    """The encoder of the kiosk's calls. Software until `look` has found better.

    Hardware that fails in a call is left alone until the daemon starts anew. What a camera codes
    itself may be sent (`camera_codes`) unless VP8 is wanted.
    """

    def __init__(
        self,
        wanted: Encoding = Encoding.VP8,
        finders: Mapping[Encoding, Finder] = FINDERS,
        *,
        camera_codes: bool = False,
    ) -> None:
        self.wanted = wanted
        self._camera_codes = camera_codes and wanted is not Encoding.VP8
        self.hardware: h264.Kind | None = None
        self.trouble = ""
        """Why hardware that is wanted or was in use is not used; untranslated."""
        self._finders = (
            finders
            if wanted is Encoding.AUTO
            else {k: v for k, v in finders.items() if k is wanted}
        )
        self._asides: set[Aside] = set()

    @property
    def used(self) -> str:
        """What the next call begins with, in FFmpeg's word."""
        if self.hardware is not None:
            return self.hardware.codec
        return "libx264" if self.wanted is Encoding.H264 else "libvpx"

    async def look(self) -> None:
        """Try the hardware that is wanted, one after the other, 2 s and a process' start each."""
        faults = []
        for wanted, find in self._finders.items():
            if not h264.is_built_in(wanted.value):
                faults.append(f"{wanted}: FFmpeg was built without it")
                continue
            kinds = await asyncio.to_thread(find)
            if not kinds:
                faults.append(f"{wanted}: no device")
            for kind in kinds:
                fault = await self._try(kind)
                if fault is None:
                    self.hardware = kind
                    log.info("picture.encoder", encoder=kind.codec)
                    return
                faults.append(f"{kind.codec}: {fault}")
        if faults:
            log.info("picture.no_hardware_encoder", faults=faults)
        if self.wanted is not Encoding.AUTO:
            self.trouble = "; ".join(faults)

    def coder(self) -> LegCoder:
        """Make what encodes a leg's pictures, which ends it. Raises OSError without libvpx."""
        vpx.check()  # before a process is begun
        return LegCoder(
            self._aside(),
            software_h264=self.wanted is Encoding.H264,
            camera_codes=self._camera_codes,
        )

    async def close(self) -> None:
        """End what legs have left; what a driver holds dies with the daemon."""
        ending = [asyncio.ensure_future(one.stop()) for one in self._asides]
        if ending:
            await asyncio.wait(ending, timeout=CLOSE_S)

    def _aside(self) -> Aside | None:
        if self.hardware is None:
            return None
        self._asides = {one for one in self._asides if not one.ended}
        try:
            aside = Aside(self.hardware, on_failure=self._failed)
        except OSError as error:
            self._failed(str(error))
            return None
        aside.start()
        self._asides.add(aside)
        return aside

    async def _try(self, kind: h264.Kind) -> str | None:
        try:
            aside = Aside(kind)
        except OSError as error:
            return str(error)
        try:
            await aside.prove()
        except DeviceError as error:
            return str(error)
        finally:
            await aside.stop()
        return None

    def _failed(self, fault: str) -> None:
        self.hardware, self.trouble = None, fault
