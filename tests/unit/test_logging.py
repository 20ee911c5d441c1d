"""The log never holds the daemon up."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import structlog
from pydantic import ValidationError

from kioskd.call.control import parse_from_agent
from kioskd.logging import PatientStream, tell_shortages_once
from kioskd.runtime.others import what_is_wrong
from kioskd.screen.messages import parse_action
from kioskd.signalling.messages import parse

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


@pytest.mark.parametrize(
    "read", [parse_from_agent, parse_action, lambda text: parse(text.encode())]
)
def test_a_message_that_is_none_of_ours_is_not_quoted(read: Callable[[str], object]) -> None:
    secret = "Marguerite-1931"
    texts = (
        secret,
        json.dumps(secret),
        json.dumps({"type": secret}),
        json.dumps({"type": "media", "audio": secret, "video": secret}),
        json.dumps({"type": "claim", "call": secret + "/", "agent": [secret], "name": secret * 50}),
        json.dumps({"type": "answer", "call": "c", "sdp": [secret], secret: secret}),
    )
    for text in texts:
        with pytest.raises(ValidationError) as caught:
            read(text)
        assert what_is_wrong(caught.value)
        assert secret not in what_is_wrong(caught.value)


async def test_a_shortage_that_lasts_is_told_once() -> None:
    loop = asyncio.get_running_loop()
    tell_shortages_once(loop)
    others: list[object] = []
    with structlog.testing.capture_logs() as told:
        for _ in range(100):
            loop.call_exception_handler(
                {"message": "accept", "exception": OSError(errno.EMFILE, "Too many open files")}
            )
    assert [one["event"] for one in told] == ["system.shortage"]
    loop.default_exception_handler = others.append  # type: ignore[method-assign, assignment]
    loop.call_exception_handler({"message": "another", "exception": OSError(errno.EPIPE, "")})
    assert len(others) == 1  # what is no shortage is told as ever
