"""What leaves the kiosk for the support says nothing of persons, and opens no door.

Masked: passwords in addresses, tokens, private keys, e-mail addresses, the names of home folders,
IP addresses that the whole world can reach, IPv6 addresses (they can hold the hardware's), and
the second half of hardware addresses. The same address gets the same number in one bundle, so
that it can still be followed. Private IPv4 addresses stay: they are the same in every town hall,
and say which network is wrong.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Final

_KEY: Final = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----[^\"]*?(-----END [A-Z ]*PRIVATE KEY-----|(?=\")|\Z)"
)
_SIMPLE: Final = (
    (re.compile(r"\b([a-z][a-z0-9+.-]*://)[^\s/@:\"']+(:[^\s/@\"']*)?@"), r"\1***@"),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]+(\.[\w-]+)?"), "<token>"),
    (re.compile(r"\b([\w.+-]+)@([\w-]+\.)+[a-z]{2,}\b", re.IGNORECASE), "<e-mail>"),
    (re.compile(r"/home/[^/\s\"':]+"), "/home/<user>"),
    (
        re.compile(r"\b((?:[0-9a-f]{2}:){3})[0-9a-f]{2}(?::[0-9a-f]{2}){2}\b", re.IGNORECASE),
        r"\1xx:xx:xx",
    ),
)
_IPV4: Final = re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.]*\d)")
_IPV6: Final = re.compile(r"(?<![\w:])[0-9a-fA-F]{0,4}(?::[0-9a-fA-F]{0,4}){2,7}(?![\w:])")


class Masker:
    """Masks texts of one bundle; addresses in `known` (the broker's, of the settings) stay."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        self._known = set(known)
        self._numbers: dict[str, int] = {}

    def text(self, text: str) -> str:
        """Return a text with all that is to be masked."""
        text = _KEY.sub("<private key>", text)
        for pattern, instead in _SIMPLE:
            text = pattern.sub(instead, text)
        text = _IPV4.sub(self._address, text)
        return _IPV6.sub(self._address, text)

    def _address(self, match: re.Match[str]) -> str:
        written = match[0]
        try:
            address = ipaddress.ip_address(written)
        except ValueError:
            return written
        local = address.is_loopback or address.is_unspecified
        if local or written in self._known:
            return written
        if address.version == 4 and not address.is_global:
            return written
        number = self._numbers.setdefault(address.compressed, len(self._numbers) + 1)
        return f"<address {number}>"
