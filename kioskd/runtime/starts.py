"""How the daemon's starts went: a note on disk that outlives a crash.

A start counts as failed when the daemon neither has been ready for SETTLED_S nor was
stopped cleanly. After FAILED_STARTS failed starts in a row the next is a safe one: its
devices are tried one by one, each noted here before it is touched. The device that was
being tried when the daemon died is left out, until it is readmitted or LEFT_OUT_S passed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog
from pydantic import BaseModel, ValidationError

from kioskd.hal.device import DeviceKind

log = structlog.get_logger(__name__)

FAILED_STARTS: Final = 3
SETTLED_S: Final = 60.0
LEFT_OUT_S: Final = 24 * 3600.0
FILE: Final = "starts.json"


class _Notes(BaseModel):
    """What is on disk. Times are unix times: the note outlives a boot."""

    failed: int = 0
    trying: DeviceKind | None = None
    left_out: dict[DeviceKind, float] = {}


class Starts:
    """The note in `folder`. A folder that cannot be read or written is as good as an empty one."""

    def __init__(self, folder: Path, *, now: Callable[[], float] = time.time) -> None:
        self.safe = False
        """True when this start is a safe one; known after `begin`."""
        self._file = folder / FILE
        self._now = now
        self._notes = _Notes()
        self._silent = False

    @property
    def failed(self) -> int:
        """How many starts in a row have failed, this one included until it has settled."""
        return self._notes.failed

    @property
    def left_out(self) -> list[DeviceKind]:
        """The devices not to be touched, those whose time is over included."""
        return list(self._notes.left_out)

    @property
    def due(self) -> list[DeviceKind]:
        """The devices that have been left out for long enough."""
        now = self._now()
        return [
            kind for kind, at in self._notes.left_out.items() if not 0 <= now - at < LEFT_OUT_S
        ]  # a clock that was set back must not keep a device out for years

    def begin(self) -> None:
        """Read the note, take this start for failed until it has settled."""
        self._notes = self._load()
        guilty = self._notes.trying
        if guilty is not None:
            self._notes.left_out[guilty] = self._now()
            log.error("starts.left_out", device=guilty.value)
        self.safe = self._notes.failed >= FAILED_STARTS
        self._notes.failed += 1
        self._notes.trying = None
        self._save()

    def trying(self, kind: DeviceKind | None) -> None:
        """Note which device is about to be touched for the first time; None: it went well.

        A device that went well is left out no more.
        """
        if kind is None and self._notes.trying is not None:
            self._notes.left_out.pop(self._notes.trying, None)
        self._notes.trying = kind
        self._save()

    def settled(self) -> None:
        """Note that this start was a good one."""
        if self._notes.failed or self._notes.trying:
            self._notes.failed = 0
            self._notes.trying = None
            self._save()

    def _load(self) -> _Notes:
        try:
            return _Notes.model_validate_json(self._file.read_bytes())
        except FileNotFoundError:
            return _Notes()
        except (OSError, ValidationError) as error:
            log.warning("starts.unreadable", file=str(self._file), error=str(error))
            return _Notes()

    def _save(self) -> None:
        new = self._file.with_suffix(".new")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with new.open("wb") as target:
                target.write(self._notes.model_dump_json().encode())
                target.flush()
                os.fsync(target.fileno())
            new.replace(self._file)
        except OSError as error:
            if not self._silent:
                log.warning("starts.unwritable", file=str(self._file), error=str(error))
            self._silent = True
