"""A kiosk whose speaker kills the daemon when it is touched, as a native library can."""

from __future__ import annotations

import os

from drivers.speaker.fake import FakeSpeaker
from kioskd.__main__ import main


async def check(_: FakeSpeaker) -> None:
    os.abort()


if __name__ == "__main__":
    FakeSpeaker.check = check  # type: ignore[assignment,method-assign]
    main()
