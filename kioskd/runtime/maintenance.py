"""The note that a technician has taken the kiosk out of service: it outlives daemon and boot."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ValidationError

FILE: Final = "maintenance.json"


class _Note(BaseModel):
    """What is on disk: since when, in Unix time."""

    since: float


def load(folder: Path) -> float | None:
    """Return since when the kiosk is in maintenance, in Unix time; None when it is not.

    A note that is there and cannot be read counts: nobody has said that the work is done.
    """
    file = folder / FILE
    try:
        return _Note.model_validate_json(file.read_bytes()).since
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValidationError):
        return time.time()


def save(folder: Path, since: float | None) -> None:
    """Write the note, or remove it; whole or not at all, also in a power cut. Raises OSError."""
    file = folder / FILE
    if since is None:
        file.unlink(missing_ok=True)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        new = file.with_suffix(".new")
        with new.open("wb") as target:
            target.write(_Note(since=since).model_dump_json().encode())
            target.flush()
            os.fsync(target.fileno())
        new.replace(file)
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
