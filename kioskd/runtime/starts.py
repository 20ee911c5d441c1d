"""The starts of the daemon, remembered over its deaths: safe mode after three that failed.

A start has failed when the daemon neither ran for STABLE_S nor was stopped by a signal. In
safe mode devices are tried one by one, each named in the file before it is touched: the
one that was being tried when the daemon died is left out from then on, for LEFT_OUT_S or
until a technician removes the file.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog
from pydantic import BaseModel, ValidationError

from kioskd.hal.device import DeviceKind

log = structlog.get_logger(__name__)

FAILED_STARTS: Final = 3
STABLE_S: Final = 60.0
LEFT_OUT_S: Final = 24 * 3600.0
FILE: Final = "starts.json"


class _Memory(BaseModel):
    failed: int = 0
    trying: DeviceKind | None = None
    left_out: dict[DeviceKind, float] = {}
    """Since when, in seconds of the wall clock."""


class Starts:
    """The memory in `folder`. A folder that cannot be used is told once and survived."""

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._file = folder / FILE
        self._clock = clock
        self._memory = _Memory()
        self._told = False

    @property
    def safe_mode(self) -> bool:
        """True when devices are to be tried one by one."""
        return self._memory.failed > FAILED_STARTS

    @property
    def left_out(self) -> frozenset[DeviceKind]:
        """The devices that are not to be touched."""
        return frozenset(self._memory.left_out)

    def begin(self) -> None:
        """Count this start as failed until it has proved otherwise."""
        memory = self._read()
        memory.failed += 1
        if memory.trying is not None:
            memory.left_out[memory.trying] = self._clock()
            memory.trying = None
        now = self._clock()
        for kind, since in list(memory.left_out.items()):
            if not 0 <= now - since <= LEFT_OUT_S:  # the clock may have been set
                del memory.left_out[kind]
        self._memory = memory
        self._write()
        if self.safe_mode:
            names = sorted(self.left_out)
            log.warning("kioskd.safe_mode", failed=memory.failed - 1, left_out=names)

    def trying(self, kind: DeviceKind | None) -> None:
        """Name the device that is touched next; None when it was survived."""
        self._memory.trying = kind
        self._write()

    def good(self) -> None:
        """This start has not failed; what is left out stays so."""
        if self._memory.failed:
            self._memory.failed = 0
            self._write()

    def _read(self) -> _Memory:
        try:
            return _Memory.model_validate_json(self._file.read_bytes())
        except FileNotFoundError:
            return _Memory()
        except (OSError, ValidationError) as error:
            log.warning("starts.unreadable", file=str(self._file), error=str(error)[:200])
            return _Memory()

    def _write(self) -> None:
        partial = self._file.with_suffix(".part")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(self._memory.model_dump_json())
            partial.replace(self._file)
        except OSError as error:
            if not self._told:
                log.warning("starts.not_kept", file=str(self._file), error=str(error))
            self._told = True
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
