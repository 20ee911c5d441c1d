"""The event loop's own threads are there from the start."""

from __future__ import annotations

import threading

import pytest

from kioskd.runtime.threads import started_executor


def ours() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name.startswith("blocking")]


def test_all_threads_run_before_any_work() -> None:
    with started_executor(5):
        assert len(ours()) == 5
    assert not ours()


def test_work_adds_none() -> None:
    with started_executor(3) as executor:
        assert list(executor.map(abs, range(-30, 0))) == list(range(30, 0, -1))
        assert len(ours()) == 3


def test_a_system_without_threads_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start
    started: list[threading.Thread] = []

    def scarce(thread: threading.Thread) -> None:
        if len(started) == 2:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", scarce)
    with pytest.raises(RuntimeError, match="thread"):
        started_executor(4)
    for thread in started:
        thread.join(5)
        assert not thread.is_alive()
