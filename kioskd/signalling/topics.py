"""The topic tree. `docs/protocol.md` draws it; this is its only spelling in code."""

from __future__ import annotations

import re
from typing import Final

ROOT: Final = "visio/v1"
_ID: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def valid_id(value: str) -> bool:
    """Tell whether `value` can stand as one level of a topic: 1 to 64 of A-Z a-z 0-9 _ . -"""
    return _ID.fullmatch(value) is not None


def status(kiosk: str) -> str:
    """Presence of a kiosk; retained, with a will."""
    return f"{ROOT}/k/{kiosk}/status"


def waiting(service: str, kiosk: str) -> str:
    """The entry of a kiosk in a service's waiting line; retained."""
    return f"{ROOT}/s/{service}/wait/{kiosk}"


def claim(service: str, kiosk: str) -> str:
    """Where agents claim the call that waits at a kiosk."""
    return f"{ROOT}/s/{service}/claim/{kiosk}"


def to_agent(service: str, kiosk: str, agent: str) -> str:
    """What the kiosk tells one agent."""
    return f"{ROOT}/s/{service}/call/{kiosk}/{agent}/k2a"


def to_kiosk(service: str, kiosk: str, agent: str) -> str:
    """What one agent tells the kiosk."""
    return f"{ROOT}/s/{service}/call/{kiosk}/{agent}/a2k"


def agent(service: str, agent_id: str) -> str:
    """Presence of an agent in a service; retained, with a will."""
    return f"{ROOT}/s/{service}/agent/{agent_id}"


def levels(topic: str) -> list[str]:
    """Split a topic below ROOT into its levels; empty when it is not below ROOT."""
    prefix = ROOT + "/"
    return topic[len(prefix) :].split("/") if topic.startswith(prefix) else []
