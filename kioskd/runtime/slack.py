"""The loop's timers share their wake-ups. Written for the asyncio of Python 3.11 to 3.13.

In a call the loop has some 300 timers a second beside 200 packets, nearly each at a moment of its
own, and to wake a process from its sleep costs more than most of what it then does. What is used
beyond the public interface:

    BaseEventLoop._clock_resolution   a timer is run once it is due within it

tests/unit/test_slack.py fails when a release moves it.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

SLACK_S: Final = 0.003
"""A timer may be run so much early. Speech has a margin of 10 ms for the unsteadiness of clocks
(sound.delay)."""
RESOLUTION: Final = "_clock_resolution"


def share_wakeups(loop: asyncio.AbstractEventLoop, slack_s: float = SLACK_S) -> None:
    """Run, whenever the loop is awake, the timers too that are due within the slack.

    For them alone it does not wake earlier. Who sleeps until a moment must not take it for past.
    """
    own: Any = loop
    getattr(own, RESOLUTION)  # fails at once where asyncio has moved it
    setattr(own, RESOLUTION, slack_s)
