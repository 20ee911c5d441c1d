"""The log never holds the daemon up."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from kioskd.logging import PatientStream

FULL = 1 << 20  # bytes: more than a pipe holds


def test_a_log_that_nobody_reads_does_not_block() -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as target, os.fdopen(reader, "rb") as source:
        stream = PatientStream(target, lines=100)
        for _ in range(200):
            stream.write("x" * (FULL // 100))
        assert stream.dropped > 0
        stream.close(timeout=0.01)  # nor does the end
        source.close()  # lets the thread go: its writes fail
        stream.close(timeout=10)


def test_what_is_written_arrives_in_order() -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as target, os.fdopen(reader) as source:
        stream = PatientStream(target)
        for number in range(100):
            stream.write(f"{number}\n")
        stream.close()
        target.close()
        assert source.read().split() == [str(number) for number in range(100)]
        assert stream.dropped == 0


def test_a_full_disk_is_survived() -> None:
    target = Path("/dev/full").open("w")  # noqa: SIM115  (its closing fails as its writing does)
    stream = PatientStream(target)
    stream.write("lost\n")
    stream.close()
    assert stream.dropped >= 1
    with contextlib.suppress(OSError):
        target.close()
