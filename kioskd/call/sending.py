"""How a kiosk sends: what all its legs have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from kioskd.call.coding import LegCoder
from kioskd.picture.ladder import Profile
from kioskd.rate.known import KnownLine


@dataclass(frozen=True, slots=True)
class Sending:
    """What the pictures are for, what encodes them for a leg, and how much a leg begins with.

    `known` learns what each leg finds out about the line.
    """

    profile: Profile = Profile.ORDINARY
    coder: Callable[[], LegCoder] = LegCoder
    known: KnownLine = field(default_factory=KnownLine)
