"""The SANE side of the scanner: runs in a worker process, on its main thread.

python-sane holds the interpreter's lock in some calls, segfaults on an exception in its
progress callback, and returns a truncated picture as a success after a cancel: all of it
stays in this process, and is answered here.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import re
import resource
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from PIL import Image

from drivers.scanner.pages import A4_MM, page_path, write_page
from kioskd.errors import DeviceAbsent, DeviceError, Reason
from kioskd.runtime.worker_main import Context

AUTO: Final = "auto"
FLATBED: Final = "flatbed"
FEEDER: Final = "feeder"
REPORT_EVERY_S: Final = 0.1
PAGES: Final = 50
"""Most pages of one go: what is left in the feeder can be scanned in another."""
DPI: Final = (75, 600)
WARM_UP_S: Final = 90.0
"""Old lamps take a minute; the resident is told meanwhile."""
WARM_UP_POLL_S: Final = 0.5
PAGE_BYTES: Final = 120_000_000
"""The largest page: A4 in colour at 600 dpi has 104 million bytes."""
MEMORY_BYTES: Final = 768 << 20
"""Address space of the process, which takes 0.45 GB for the largest page (measured).
Without a bound, a backend that runs away takes the kiosk's memory and not its own."""
_MODES: Final = {
    "colour": ("Color", "24bit Color", "True Color"),
    "grey": ("Gray", "Grayscale", "True Gray"),
}
_FEEDER_WORDS: Final = ("feeder", "adf")

# sane_strstatus() is the only code that python-sane gives (SANE standard, 4.3.11).
_TEXTS: Final = {
    "out of documents": Reason.NO_PAPER,
    "jammed": Reason.PAPER_JAM,
    "cover is open": Reason.COVER_OPEN,
    "device busy": Reason.BUSY,
    "i/o": Reason.IO_ERROR,
    "access": Reason.PERMISSION,
    "out of memory": Reason.OUT_OF_MEMORY,
    "cancelled": Reason.CANCELLED,
    "warm": Reason.WARMING_UP,
    # SANE_STATUS_WARMING_UP and SANE_STATUS_HW_LOCKED, which libsane 1.2 has no words for
    "status code 12": Reason.WARMING_UP,
    "status code 13": Reason.BUSY,
    "not supported": Reason.UNSUPPORTED,
}


def reason_of(text: str) -> Reason:
    """Translate what SANE says."""
    lower = text.lower()
    found = (reason for words, reason in _TEXTS.items() if words in lower)
    return next(found, Reason.IO_ERROR)


def matching(wanted: str, devices: Sequence[tuple[str, ...]]) -> str | None:
    """Return the first of SANE's `devices` (name, vendor, model, type) that is `wanted`.

    By its name, or a part of it or of vendor and model; a USB name's bus and device
    numbers do not count, since they change when it is plugged in again.
    """
    part = re.sub(r":libusb:\d+:\d+$", ":libusb:", wanted).lower()
    for name, vendor, model, *_ in devices:
        if part in name.lower() or part in f"{vendor} {model}".lower():
            return name
    return None


class SaneWorker:
    """Holds one SANE device open between `open` and `close`."""

    def __init__(
        self,
        context: Context,
        *,
        device: str,
        config_dir: str | None,
        options: dict[str, Any],
        button: str,
    ) -> None:
        if config_dir is not None:
            os.environ["SANE_CONFIG_DIR"] = config_dir
        import _sane
        import sane

        self._sane = sane
        self._error: type[Exception] = _sane.error
        self._switches = (_sane.TYPE_BOOL, _sane.TYPE_INT)
        self._context = context
        self._name = device
        self._options = options
        self._button = button
        self._device: Any = None
        self._opened = ""
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        limit = MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(hard, MEMORY_BYTES)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        self._cancelling = threading.Lock()
        sane.init()

    def check(self) -> str:
        """Open the device anew and return its name. Raises DeviceError."""
        was_open = self._device is not None
        self.close()
        name = self.open()
        if not was_open:
            self.close()
        return name

    def open(self) -> str:
        """Open the device, the first found when none is named; return its name."""
        if self._device is None:
            name = self._name or self._find("")
            try:
                self._device, self._opened = self._open_as(name), name
            except DeviceAbsent:
                if not self._name:
                    raise
                name = self._find(self._name)
                self._device, self._opened = self._open_as(name), name
        return self._opened

    def _open_as(self, name: str) -> Any:
        try:
            return self._sane.open(name)
        except self._error as error:
            error_told = _translated(error, invalid=Reason.NOT_FOUND)
            if error_told.reason is Reason.NOT_FOUND:
                raise DeviceAbsent(Reason.NOT_FOUND, error_told.detail) from None
            raise error_told from None

    def close(self) -> None:
        """Close the device."""
        device, self._device = self._device, None
        if device is not None:
            with contextlib.suppress(self._error):
                device.close()

    def button(self) -> bool | None:
        """Tell whether the button's option is set; None where it cannot be read.

        Raises DeviceError when the device cannot be opened.
        """
        self.open()  # a worker may be a new one
        option = self._device.opt.get(self._button)
        if option is None or option.type not in self._switches or not option.is_active():
            return None
        try:
            return bool(getattr(self._device, self._button))
        except self._error:
            return None

    def scan(self, source: str, mode: str, dpi: int, folder: str) -> None:
        """Scan one document; each page is told as progress {"page": [...]} once its file is."""
        if self._device is None:
            raise DeviceError(Reason.CANCELLED, "the scanner is closed")
        self._context.on_cancel(self._cancel)
        try:
            if source == AUTO:
                self._auto(mode, dpi, Path(folder))
            else:
                self._document(source, mode, dpi, Path(folder))
        except self._error as error:
            raise _translated(error) from None
        finally:
            self._context.on_cancel(None)
            self._cancel()

    def _auto(self, mode: str, dpi: int, folder: Path) -> None:
        try:
            self._document(FEEDER, mode, dpi, folder)
        except DeviceError as error:
            if error.reason not in (Reason.NO_PAPER, Reason.UNSUPPORTED):
                raise
            if not self._sources(FLATBED) and self._sources(FEEDER):
                raise  # a feeder alone, and it is empty
            self._document(FLATBED, mode, dpi, folder)

    def _cancel(self) -> None:
        """End what the device does; sane_cancel is the one call that another thread may do."""
        with self._cancelling, contextlib.suppress(self._error):
            self._device.cancel()

    def _find(self, wanted: str) -> str:
        name = matching(wanted, self._sane.get_devices())
        if name is None:
            raise DeviceAbsent(Reason.NOT_FOUND, f"SANE finds no scanner {wanted}".rstrip())
        return name

    def _document(self, source: str, mode: str, dpi: int, folder: Path) -> None:
        resolution = self._prepare(source, mode, dpi)
        for number in range(1, PAGES + 1):
            try:
                self._page(number, resolution, folder)
            except self._error as error:
                if number > 1 and reason_of(str(error)) is Reason.NO_PAPER:
                    return  # the feeder has done its work
                raise _translated(error) from None
            if source == FLATBED:
                return

    def _prepare(self, source: str, mode: str, dpi: int) -> int:
        device = self._device
        self._choose_source(source)
        self._choose("mode", _MODES[mode])
        if "depth" in device.opt and device.opt["depth"].is_active():
            self._set("depth", 8)
        resolution = self._nearest("resolution", dpi)
        for name, value in zip(("tl_x", "tl_y", "br_x", "br_y"), (0.0, 0.0, *A4_MM), strict=True):
            if name in device.opt:
                self._set(name, self._within(name, value))
        for name, value in self._options.items():
            self._set(name, value)
        return resolution

    def _sources(self, source: str) -> list[str]:
        option = self._device.opt.get("source")
        names = list(option.constraint or ()) if option is not None else []
        feeders = [name for name in names if any(w in name.lower() for w in _FEEDER_WORDS)]
        return feeders if source == FEEDER else [name for name in names if name not in feeders]

    def _choose_source(self, source: str) -> None:
        wanted = self._sources(source)
        if wanted:
            self._set("source", wanted[0])
        elif source == FEEDER or self._sources(FEEDER):
            raise DeviceError(Reason.UNSUPPORTED, f"it has no {source}")

    def _choose(self, option: str, wanted: tuple[str, ...]) -> None:
        names = list(self._constraint(option) or ())
        for name in wanted:
            if name in names:
                self._set(option, name)
                return
        raise DeviceError(Reason.UNSUPPORTED, f"{option}: it has {names}")

    def _nearest(self, option: str, wanted: int) -> int:
        constraint = self._constraint(option)
        wanted = min(max(wanted, DPI[0]), DPI[1])
        if isinstance(constraint, list):
            value = min(constraint, key=lambda one: abs(one - wanted))
        else:
            value = self._within(option, wanted)
        if value > DPI[1]:
            raise DeviceError(Reason.UNSUPPORTED, f"it scans at {value} dpi or more")
        self._set(option, value)
        return round(float(value))

    def _within(self, option: str, value: float) -> float:
        constraint = self._constraint(option)
        if isinstance(constraint, tuple):
            return float(min(max(value, constraint[0]), constraint[1]))
        return value

    def _constraint(self, option: str) -> Any:
        try:
            return self._device.opt[option].constraint
        except KeyError:
            raise DeviceError(Reason.UNSUPPORTED, f"it has no option {option}") from None

    def _set(self, name: str, value: Any) -> None:
        self._constraint(name)  # python-sane takes unknown names without a word
        try:
            setattr(self._device, name, value)
        except (self._error, AttributeError, TypeError) as error:
            raise DeviceError(Reason.UNSUPPORTED, f"{name} = {value}: {error}") from None

    def _start(self, number: int) -> None:
        """Start a page, as soon as the lamp is warm."""
        deadline = time.monotonic() + WARM_UP_S
        while True:
            if self._context.cancelled:
                raise DeviceError(Reason.CANCELLED)
            try:
                self._device.start()
            except self._error as error:
                warming = reason_of(str(error)) is Reason.WARMING_UP
                if not warming or time.monotonic() > deadline:
                    raise
            else:
                return
            self._context.progress({"warming": number})
            time.sleep(WARM_UP_POLL_S)

    def _page(self, number: int, dpi: int, folder: Path) -> None:
        self._start(number)
        picture = self._read(number)
        path = page_path(folder, number)
        try:
            write_page(picture, path, dpi)
        except OSError as error:
            raise DeviceError(Reason.DISK_FULL, str(error)) from error
        self._context.progress({"page": [number, str(path), *picture.size, dpi]})

    def _read(self, number: int) -> Image.Image:
        """Read the page that has started; whole, or an error."""
        device = self._device
        frame, _, (width, height), depth, line_bytes = device.get_parameters()
        samples = 1 if frame == "gray" else 3
        if line_bytes != (width * depth + 7) // 8 * (3 if frame == "color" else 1):
            # python-sane takes the bytes that fill a line up for the next one's.
            raise DeviceError(Reason.UNSUPPORTED, f"{line_bytes} bytes a line of {width}")
        _ask_for_memory(width * samples * max(1, height))
        told = 0.0
        too_long = False

        def progress(line: int, lines: int) -> None:
            nonlocal told, too_long
            # An exception in here would crash the process.
            with contextlib.suppress(Exception):
                if not too_long and line * width * samples > PAGE_BYTES:
                    too_long = True  # more than was told, or a length that nobody knows
                    self._cancel()
                now = time.monotonic()
                if now - told >= REPORT_EVERY_S and not self._context.cancelled:
                    told = now
                    done = min(1.0, line / lines) if lines > 0 else 0.0
                    self._context.progress({"moved": [number, done]})

        try:
            # SaneDev.snap() would copy the page once more.
            data, *size, _, _ = device.dev.snap(True, False, progress)
        except self._error:
            if too_long:
                raise DeviceError(Reason.OUT_OF_MEMORY, "a page without an end") from None
            raise
        if too_long:
            raise DeviceError(Reason.OUT_OF_MEMORY, "a page without an end")
        if self._context.cancelled:
            raise DeviceError(Reason.CANCELLED)
        if not data or size[0] != width or (height > 0 and size[1] != height):
            raise DeviceError(Reason.IO_ERROR, f"{size} in place of {width}x{height}")
        colours = "L" if samples == 1 else "RGB"
        return Image.frombuffer(colours, (width, size[1]), data, "raw", colours, 0, 1)


def _ask_for_memory(page: int) -> None:
    """Raise OUT_OF_MEMORY where a page of so many bytes has no room.

    python-sane takes it twice, and does not look whether it got it.
    """
    if page > PAGE_BYTES:
        raise DeviceError(Reason.OUT_OF_MEMORY, f"a page of {page} bytes")
    try:
        mmap.mmap(-1, 2 * page).close()
    except OSError as error:
        raise DeviceError(Reason.OUT_OF_MEMORY, str(error)) from None


def _translated(error: Exception, invalid: Reason = Reason.UNSUPPORTED) -> DeviceError:
    """Return the error for what SANE says; `invalid` is what "Invalid argument" means."""
    text = str(error)
    reason = invalid if "invalid argument" in text.lower() else reason_of(text)
    return DeviceError(reason, text)
