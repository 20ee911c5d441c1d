"""Logs are events with named values: readable on a terminal, JSON under systemd."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import errno
import logging
import queue
import sys
import threading
from typing import Any, Final, TextIO

import structlog

log = structlog.get_logger(__name__)

LINES: Final = 10_000
"""Lines that may wait for a log that is not read; what comes then is dropped."""
SHORTAGE_S: Final = 10.0
_SHORTAGES: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
LAST_WORDS_S: Final = 1.0
"""How long the end of the process waits for the log to be taken."""
_visit: dict[str, str] = {}


class PatientStream:
    """A text stream that never makes its writer wait: a thread of its own writes to `target`.

    A journal that hangs blocks whoever writes to it; without this it would hold up the
    event loop, and with it the call. `dropped` counts the writes that were lost.
    """

    def __init__(self, target: TextIO, lines: int = LINES) -> None:
        self.dropped = 0
        self._target = target
        self._waiting: queue.Queue[str | None] = queue.Queue(lines)
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def write(self, text: str) -> int:
        """Queue `text` and return at once."""
        try:
            self._waiting.put_nowait(text)
        except queue.Full:
            self.dropped += 1
        return len(text)

    def flush(self) -> None:
        """Return at once."""

    def close(self, timeout: float = LAST_WORDS_S) -> None:
        """Write what waits, for `timeout` seconds at the most; later writes are lost."""
        with contextlib.suppress(queue.Full):
            self._waiting.put(None, timeout=timeout)
            self._thread.join(timeout)

    def _run(self) -> None:
        ended = False
        while not ended:
            text = self._waiting.get()
            ended = text is None
            try:
                self._target.write(text or "")
                if ended or self._waiting.empty():
                    self._target.flush()
            except OSError:
                self.dropped += 1  # the reader has gone, or its disk is full: it may come back
            except ValueError:
                return  # somebody has closed the target


def configure(*, verbose: bool = False) -> None:
    """Set up structlog, and the standard library's logging through it, to standard error."""
    level = logging.DEBUG if verbose else logging.INFO
    terminal = sys.stderr.isatty()
    stream: TextIO = PatientStream(sys.stderr)  # type: ignore[assignment]  # what print() needs
    atexit.register(stream.close)
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer()
    )
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        _add_visit,
        structlog.processors.TimeStamper(fmt="iso", utc=not terminal),
    ]
    structlog.configure(
        processors=[
            *shared,
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, stream=stream, format="%(name)s: %(message)s")
    # These say at warning level what our own events say better.
    for name in ("aioice", "aiortc", "libav", "mqtt"):
        logging.getLogger(name).setLevel(logging.ERROR)


def of_visit(pseudonym: str) -> None:
    """Let each line bear the `visit` that it is of, as the audit log calls it; empty for none."""
    _visit.clear()
    if pseudonym:
        _visit["visit"] = pseudonym


def _add_visit(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return {**event, **_visit}


def tell_shortages_once(loop: asyncio.AbstractEventLoop) -> None:
    """Log once in SHORTAGE_S that the system has no more of something, such as descriptors.

    asyncio tells of a connection that cannot be accepted a hundred times a second, each time
    with a trace: the journal would hold nothing else.
    """
    told = float("-inf")

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        nonlocal told
        error = context.get("exception")
        if not isinstance(error, OSError) or error.errno not in _SHORTAGES:
            loop.default_exception_handler(context)
        elif loop.time() - told >= SHORTAGE_S:
            told = loop.time()
            log.error("system.shortage", what=context["message"], error=error.strerror)

    loop.set_exception_handler(handle)
