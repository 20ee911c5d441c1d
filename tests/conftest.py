"""What all tests share."""

from __future__ import annotations

import signal
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadFileScheduling

# Started in the background of a shell, the tests would hand an ignored SIGINT on to all that
# they start, and Ctrl-C would end none of it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says more of the machine than of the code.
settings.register_profile("kioskd", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("kioskd")


class OneHeavyAtATime(LoadFileScheduling):  # type: ignore[misc]  # xdist is untyped
    """Hands out tests file by file, but those that need most of a machine to one worker."""

    HEAVY = ("attacks", "canary", "e2e", "faults", "peer", "soak")
    """Folders of tests with Chromium and with whole calls."""

    def _split_scope(self, nodeid: str) -> str:
        folder = nodeid.split("/")[1]
        return "heavy" if folder in self.HEAVY else str(super()._split_scope(nodeid))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneHeavyAtATime:
    """Let no two heavy tests run side by side, however many workers there are."""
    return OneHeavyAtATime(config, log)
