"""Whether a scanner that was opened before is still there, without opening it again.

Opening a flatbed every two seconds may move its head, keeps it from sleeping and locks
others out. Where SANE's name says where the device is, its place is looked at instead.
What that cannot see (a device that is there and broken) shows at the next real opening.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import aiohttp

from kioskd.errors import DeviceAbsent, DeviceError, Reason

ANSWER_S: Final = 2.5
USB: Final = Path("/dev/bus/usb")
SYSTEM_CONFIG: Final = Path("/etc/sane.d")
_ADDRESS: Final = re.compile(r":libusb:(\d{3}):(\d{3})$")
_URL: Final = re.compile(r"https?://\S+")


def usb_node(name: str, usb: Path = USB) -> Path | None:
    """Return the device node of SANE's name "backend:libusb:BBB:DDD", None of others."""
    found = _ADDRESS.search(name)
    return usb / found[1] / found[2] if found else None


def escl_url(name: str, config_dir: Path | None) -> str | None:
    """Return the eSCL address in SANE's name, or that airscan.conf gives to it."""
    if name.startswith("airscan:escl:") and (found := _URL.search(name)):
        return found[0]
    if not name.startswith("airscan:e"):
        return None
    _, _, title = name.split(":", 2)
    try:
        lines = ((config_dir or SYSTEM_CONFIG) / "airscan.conf").read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    for line in lines:
        key, equals, value = line.partition("=")
        if equals and key.strip().strip('"') == title and (found := _URL.match(value.strip())):
            return found[0].rstrip(",;")
    return None


async def still_there(name: str, config_dir: Path | None, usb: Path = USB) -> bool:
    """Tell whether the place of `name` could be looked at; if so, the device is there.

    False: only opening it tells; so it is where an HTTP error comes, from a scanner that is
    broken, that does not like the question, or from what is no scanner. Raises DeviceAbsent
    UNPLUGGED (USB), NOT_FOUND (nothing listens there), DeviceError NO_ANSWER (silence for
    ANSWER_S seconds).
    """
    if (node := usb_node(name, usb)) is not None:
        if not node.exists():
            raise DeviceAbsent(Reason.UNPLUGGED, str(node))
        return True
    if (url := escl_url(name, config_dir)) is None:
        return False
    limit = aiohttp.ClientTimeout(total=ANSWER_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=limit) as session,
            # Printers sign their own certificates, and nothing is told to them here.
            session.get(f"{url.rstrip('/')}/ScannerStatus", ssl=False) as answer,
        ):
            await answer.read()
            return answer.ok
    except TimeoutError:
        raise DeviceError(Reason.NO_ANSWER, url) from None
    except aiohttp.ClientError as error:
        raise DeviceAbsent(Reason.NOT_FOUND, str(error)) from None
