"""The SANE side of the scanner: runs in a worker process, on its main thread.

python-sane holds the interpreter's lock in some calls, segfaults on an exception in its
progress callback, and returns a truncated picture as a success after a cancel: all of it
stays in this process, and is answered here.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from pathlib import Path
from typing import Any, Final

from drivers.scanner.pages import A4_MM, page_path, write_page
from kioskd.errors import DeviceAbsent, DeviceError, Reason
from kioskd.runtime.worker_main import Context

AUTO: Final = "auto"
FLATBED: Final = "flatbed"
FEEDER: Final = "feeder"
REPORT_EVERY_S: Final = 0.1
WARM_UP_S: Final = 90.0
"""Old lamps take a minute; the resident is told meanwhile."""
WARM_UP_POLL_S: Final = 0.5
OPEN_EVERY_S: Final = 600.0
"""How long the node of a USB scanner proves that it is there, before it is opened again."""
_USB_NAME: Final = re.compile(r"(.*libusb:)(\d{3}):(\d{3})")
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
    "warmed up": Reason.WARMING_UP,
    "warming up": Reason.WARMING_UP,
    "not supported": Reason.UNSUPPORTED,
}


def reason_of(text: str) -> Reason:
    """Translate what SANE says."""
    lower = text.lower()
    found = (reason for words, reason in _TEXTS.items() if words in lower)
    return next(found, Reason.IO_ERROR)


class SaneWorker:
    """Holds one SANE device open between `open` and `close`."""

    def __init__(
        self, context: Context, *, device: str, config_dir: str | None, options: dict[str, Any]
    ) -> None:
        if config_dir is not None:
            os.environ["SANE_CONFIG_DIR"] = config_dir
        import _sane
        import sane

        self._sane = sane
        self._error: type[Exception] = _sane.error
        self._context = context
        self._name = device
        self._options = options
        self._device: Any = None
        self._node: Path | None = None
        self._proved_until = 0.0
        self._cancelling = threading.Lock()
        sane.init()

    def check(self) -> None:
        """Raise DeviceError unless the device is there.

        Only opening tells for sure, and wakes a sleeping flatbed or moves its head: a USB
        scanner that could be opened, and whose node is still there, is taken for granted
        for OPEN_EVERY_S.
        """
        if time.monotonic() < self._proved_until and self._node is not None:
            if self._node.exists():
                return
            self._proved_until = 0.0
        was_open = self._device is not None
        self.close()
        self.open()
        if not was_open:
            self.close()

    def open(self) -> None:
        """Open the device; the first found when none is named."""
        if self._device is not None:
            return
        self._proved_until = 0.0
        name = self._name or self._find("")
        try:
            self._device = self._sane.open(name)
        except self._error as error:
            failure = _not_opened(error)
            again = self._find(name) if failure.reason is Reason.NOT_FOUND else name
            if again == name:
                raise failure from None
            self._device, name = self._open_anew(again), again
        usb = _USB_NAME.fullmatch(name)
        self._node = Path("/dev/bus/usb") / usb[2] / usb[3] if usb else None
        self._proved_until = time.monotonic() + OPEN_EVERY_S

    def _open_anew(self, name: str) -> Any:
        try:
            return self._sane.open(name)
        except self._error as error:
            raise _not_opened(error) from None

    def _find(self, name: str) -> str:
        """Return the device that `name` means now: itself, or one whose name begins so.

        The numbers of a USB scanner change when it is plugged again; "" is the first found.
        """
        usb = _USB_NAME.fullmatch(name)
        prefix = usb[1] if usb else name
        for found in self._sane.get_devices():
            if str(found[0]).startswith(prefix):
                return str(found[0])
        raise DeviceAbsent(Reason.NOT_FOUND, f"SANE finds no scanner {name}".rstrip())

    def close(self) -> None:
        """Close the device."""
        device, self._device = self._device, None
        if device is not None:
            with contextlib.suppress(self._error):
                device.close()

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

    def _document(self, source: str, mode: str, dpi: int, folder: Path) -> None:
        resolution = self._prepare(source, mode, dpi)
        number = 1
        while True:
            try:
                self._page(number, resolution, folder)
            except self._error as error:
                if number > 1 and reason_of(str(error)) is Reason.NO_PAPER:
                    return  # the feeder has done its work
                raise _translated(error) from None
            if source == FLATBED:
                return
            number += 1

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
        if isinstance(constraint, list):
            value = min(constraint, key=lambda one: abs(one - wanted))
        else:
            value = self._within(option, wanted)
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
                self._context.progress({"warming": number})
                time.sleep(WARM_UP_POLL_S)
            else:
                return

    def _page(self, number: int, dpi: int, folder: Path) -> None:
        device = self._device
        self._start(number)
        _, _, (width, height), _, _ = device.get_parameters()
        told = 0.0

        def progress(line: int, lines: int) -> None:
            nonlocal told
            now = time.monotonic()
            if now - told < REPORT_EVERY_S or self._context.cancelled:
                return
            told = now
            # An exception in here would crash the process.
            with contextlib.suppress(Exception):
                total = lines if lines > 0 else height
                self._context.progress({"moved": [number, min(1.0, line / max(1, total))]})

        try:
            picture = device.snap(no_cancel=True, progress=progress)
        except (RuntimeError, ValueError) as error:  # no data, or too few
            raise DeviceError(Reason.IO_ERROR, str(error)) from None
        if self._context.cancelled:
            raise DeviceError(Reason.CANCELLED)
        if picture.size[0] != width or (height > 0 and picture.size[1] != height):
            raise DeviceError(Reason.IO_ERROR, f"{picture.size} in place of {width}x{height}")
        path = page_path(folder, number)
        try:
            write_page(picture, path, dpi)
        except OSError as error:
            raise DeviceError(Reason.DISK_FULL, str(error)) from error
        self._context.progress({"page": [number, str(path), *picture.size, dpi]})


def _not_opened(error: Exception) -> DeviceError:
    """Return why a device cannot be opened: one that is switched off says "I/O error"."""
    found = _translated(error, invalid=Reason.NOT_FOUND)
    return DeviceError(Reason.OFFLINE, found.detail) if found.reason is Reason.IO_ERROR else found


def _translated(error: Exception, invalid: Reason = Reason.UNSUPPORTED) -> DeviceError:
    """Return the error for what SANE says; `invalid` is what "Invalid argument" means."""
    text = str(error)
    reason = invalid if "invalid argument" in text.lower() else reason_of(text)
    return DeviceError(reason, text)
