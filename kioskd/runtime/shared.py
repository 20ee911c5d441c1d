"""A ring of shared memory between a worker and the daemon, for pictures.

A memfd has no name: nothing is left behind whoever dies.
"""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path
from typing import Final

SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108  (Linux's tmpfs: what lies there stays in RAM)
_HEADER: Final = struct.Struct("<QQ")  # sequence number before and after the data
SLOTS: Final = 4


class SharedRing:
    """`SLOTS` slots of `size` bytes each. One writer, one reader, in two processes.

    The reader copies a slot out; a slot that was overwritten while it was copied reads
    as None, so that no torn picture is ever shown.
    """

    def __init__(self, fd: int, size: int) -> None:
        self.fd = fd
        self.size = size
        self._stride = _HEADER.size + size
        self._map = mmap.mmap(fd, self._stride * SLOTS)

    @classmethod
    def create(cls, size: int) -> SharedRing:
        """Make a new ring with slots of `size` bytes."""
        fd = os.memfd_create("kioskd-ring", os.MFD_CLOEXEC)
        os.ftruncate(fd, (_HEADER.size + size) * SLOTS)
        return cls(fd, size)

    def write(self, number: int, data: bytes | memoryview) -> None:
        """Put item `number` (counted from 0) into its slot, over the oldest one."""
        if len(data) > self.size:
            raise ValueError(f"{len(data)} bytes do not fit a slot of {self.size}")
        at = (number % SLOTS) * self._stride
        self._map[at : at + 8] = (number + 1).to_bytes(8, "little")
        start = at + _HEADER.size
        self._map[start : start + len(data)] = data
        self._map[at + 8 : at + 16] = (number + 1).to_bytes(8, "little")

    def read(self, number: int, length: int) -> bytes | None:
        """Copy `length` bytes of item `number`, or None when it is gone already."""
        at = (number % SLOTS) * self._stride
        start = at + _HEADER.size
        data = self._map[start : start + length]
        before, after = _HEADER.unpack(self._map[at:start])
        return data if before == after == number + 1 else None

    def close(self) -> None:
        """Release the memory of this side."""
        self._map.close()
        os.close(self.fd)
