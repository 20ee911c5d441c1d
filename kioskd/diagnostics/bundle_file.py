"""The file of a support bundle: a zip with a page that shows it, never larger than its limit."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any, Final

from kioskd.diagnostics.words import Language, words

DAYS: Final = 7
"""Of the log."""
LIMIT: Final = 5_000_000
"""Bytes: what every mail server and every form for support takes."""
PART_LIMIT: Final = 512 * 1024
"""Characters of one part but the log; a device list is never as long."""
SHOWN_LINES: Final = 3000
"""Of the log, in the page: what a browser scrolls well. The file beside it has them all."""
_ROOM: Final = 0.95
"""How much of the limit is aimed at when lines are left out: compression is not linear."""
LOG: Final = "log.jsonl"
MANIFEST: Final = "manifest.json"
PAGE: Final = "index.html"

MASKED: Final = "passwords, tokens, keys, e-mail and public addresses, half of hardware addresses"
TITLES: Final = {
    PAGE: "open this one in a browser",
    MANIFEST: "what is here, and what was left out",
    "doctor.json": "findings: what is wrong and what to do",
    "status.json": "the kiosk at a glance, as kioskd said",
    "versions.json": "programs and libraries",
    "settings.json": "kioskd.toml and services, passwords starred out",
    LOG: "kioskd's log, newest last",
    "audit.json": "whether the audit log is whole; not what it holds",
    "units.txt": "systemd: units and what has failed",
    "usb.json": "what hangs on USB",
    "printers.txt": "CUPS: printers, not their jobs",
    "scanners.txt": "SANE: scanners",
    "sound.json": "the sound server's devices",
    "network.txt": "addresses, routes, name servers",
}


@dataclass(frozen=True, slots=True)
class Part:
    """One file of the bundle, already masked when it is packed."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Subject:
    """What the manifest says of the whole."""

    kiosk: str | None
    kioskd: str
    made: datetime
    alive: bool
    log: str
    """Where the log was read, or why it was not."""


@dataclass(frozen=True, slots=True)
class Packed:
    """A bundle: its bytes, and how many of the oldest lines were left out."""

    data: bytes
    lines: int
    left_out: int


def pack(
    subject: Subject,
    parts: Sequence[Part],
    log: Sequence[str],
    page_data: dict[str, Any],
    *,
    limit: int = LIMIT,
) -> Packed:
    """Pack a bundle of `limit` bytes at the most; the oldest lines of the log go first.

    `page_data` is what the page gets beside the parts. Raises ValueError where it does not fit
    without any log.
    """
    cut = [Part(one.name, _cut(one.text)) for one in parts]
    kept, bare = list(log), 0
    while True:
        data = _zip(subject, cut, kept, len(log), page_data)
        if len(data) <= limit:
            return Packed(data, len(kept), len(log) - len(kept))
        if not kept:
            raise ValueError(f"{len(data)} bytes without any log, more than {limit}")
        bare = bare or len(_zip(subject, cut, [], len(log), page_data))
        share = max(0.0, (limit - bare) * _ROOM / max(1, len(data) - bare))
        kept = kept[len(kept) - min(int(len(kept) * share), len(kept) - 1) :]


def _cut(text: str) -> str:
    if len(text) <= PART_LIMIT:
        return text
    return f"{text[:PART_LIMIT]}\n[cut: {len(text)} characters]\n"


def _zip(
    subject: Subject,
    parts: Sequence[Part],
    log: Sequence[str],
    lines: int,
    page_data: dict[str, Any],
) -> bytes:
    manifest = {
        "version": 1,
        "kiosk": subject.kiosk,
        "kioskd": subject.kioskd,
        "made": subject.made.isoformat(timespec="seconds"),
        "kioskd_answered": subject.alive,
        "log": {
            "from": subject.log,
            "lines": len(log),
            "left_out": lines - len(log),
            "shown": min(len(log), SHOWN_LINES),
        },
        "masked": MASKED,
    }
    files = {one.name: one.text for one in parts}
    files[MANIFEST] = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    shown = [json.loads(line) for line in log[-SHOWN_LINES:]]
    files[PAGE] = page({**page_data, "manifest": manifest, "parts": files, "log": shown})
    files[LOG] = "".join(f"{line}\n" for line in log)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as opened:
        for name in sorted(files, key=lambda one: (one != PAGE, one)):
            info = zipfile.ZipInfo(name, subject.made.timetuple()[:6])
            info.external_attr = 0o600 << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            opened.writestr(info, files[name])
    return target.getvalue()


def page(data: dict[str, Any]) -> str:
    """Return the page that shows a bundle: whole in itself, for a browser without a network.

    Its policy allows its own script and style, by their hashes, and nothing else at all.
    """
    folder = resources.files(__package__) / "viewer"
    script = (folder / "viewer.js").read_text("utf-8")
    style = (folder / "viewer.css").read_text("utf-8")
    policy = f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'"
    # No text of a log can end the element that holds it, or begin another one.
    told = json.dumps({**data, "words": _words(data.get("log", []))}, ensure_ascii=False)
    for sign in "<>&\u2028\u2029":
        told = told.replace(sign, f"\\u{ord(sign):04x}")
    html = (folder / "index.html").read_text("utf-8")
    for name, value in {"policy": policy, "style": style, "script": script, "data": told}.items():
        html = html.replace(f"[[{name}]]", value, 1)
    return html


def _words(log: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return what the page says of reasons, and of the findings in its log, in each language."""
    ids = sorted({str(line["finding"]) for line in log if "finding" in line})
    return {
        one.value: {
            "reasons": {reason.value: why.title for reason, why in words(one).reasons.items()},
            "findings": {id_: words(one).of(id_).title for id_ in ids},
        }
        for one in Language
    }


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def contents(file: Path) -> list[tuple[str, int, str]]:
    """Return name, size in bytes and title of what is in a bundle. Raises OSError, BadZipFile."""
    with zipfile.ZipFile(file) as opened:
        return [
            (one.filename, one.file_size, TITLES.get(one.filename, "")) for one in opened.filelist
        ]
