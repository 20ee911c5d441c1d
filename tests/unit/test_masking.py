"""What a bundle must not tell, and what it must still tell."""

from __future__ import annotations

import pytest

from kioskd.diagnostics.masking import Masker

KEY = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIBkg\n-----END EC PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("ipp://anna:secret@printer.local/ipp", "ipp://***@printer.local/ipp"),
        ("smb://anna@server/queue", "smb://***@server/queue"),
        ("token eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln end", "token <token> end"),
        (f"key: {KEY} end", "key: <private key> end"),
        ('"cut": "-----BEGIN PRIVATE KEY-----\\nMH"}', '"cut": "<private key>"}'),
        ("-----BEGIN PRIVATE KEY-----\nMHcCA", "<private key>"),
        ("write to lea.martin@caf.example now", "write to <e-mail> now"),
        ("/home/lea/kiosk.log", "/home/<user>/kiosk.log"),
        ("link/ether 3c:52:82:aa:bb:cc brd", "link/ether 3c:52:82:xx:xx:xx brd"),
        ("from 93.184.216.34:5004", "from <address 1>:5004"),
        ("2a01:e34:ec12::1 and fe80::3e52:82ff:feaa:bbcc", "<address 1> and <address 2>"),
        ("8.8.8.8 9.9.9.9 8.8.8.8", "<address 1> <address 2> <address 1>"),
    ],
)
def test_what_must_not_leave_does_not(text: str, masked: str) -> None:
    assert Masker().text(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "192.168.1.20/24 via 10.0.0.1 on 127.0.0.1 and ::1",
        "kioskd 0.1.0, Linux 6.1.0-18, 12:34:56, 2026-11-25T14:00:01.5Z",
        "http://127.0.0.1:8480 mqtts://broker.example.org:8883",
        '"visit": "00aa11bb22cc33dd", "reason": "paper-jam"',
    ],
)
def test_what_helps_stays(text: str) -> None:
    assert Masker().text(text) == text


def test_the_brokers_own_address_stays() -> None:
    assert Masker(["93.184.216.34"]).text("93.184.216.34:8883") == "93.184.216.34:8883"
