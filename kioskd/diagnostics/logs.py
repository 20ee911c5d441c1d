"""The daemon's log, line by line: read, chosen, and explained by findings. No I/O here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from kioskd.diagnostics.findings import Trouble, device_id, normal
from kioskd.errors import Reason
from kioskd.hal.device import DeviceKind

LEVELS: Final = ("debug", "info", "warning", "error", "critical")
_OWN: Final = ("timestamp", "level", "event")
_ID: Final = re.compile(r"KSK-\d{3}")
_AGO: Final = re.compile(r"(\d+)\s*([smhd])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_PRIORITIES: Final = {"0": 4, "1": 4, "2": 4, "3": 3, "4": 2, "7": 0}
"""Of syslog(3), as places in LEVELS; what is not here is `info`."""

_TROUBLES: Final = {
    "broker.lost": Trouble.BROKER,
    "watchdog.stuck": Trouble.STUCK,
    "kioskd.safe_mode": Trouble.SAFE_MODE,
    "starts.unwritable": Trouble.STATE_UNWRITABLE,
    "audit.unwritable": Trouble.AUDIT,
    "audit.no_pseudonym_key": Trouble.AUDIT,
    "system.shortage": Trouble.NO_DESCRIPTORS,
    "identity.keys": Trouble.IDENTITY,
    "identity.unsigned": Trouble.UNSIGNED,
    "vetting.unconfined": Trouble.UNCONFINED,
    "maintenance.begun": Trouble.MAINTENANCE,
    "picture.encoder_failed": Trouble.ENCODER,
}
_KINDS: Final = {
    "scan": DeviceKind.SCANNER,
    "print": DeviceKind.PRINTER,
    "wipe": DeviceKind.PRINTER,
}
"""Whose reason it is where an event names no device, by the event's first word."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line. `time` is in UTC, None where the line bears none; `level` is "" then as well.

    A line that is none of structlog's (a trace, a library's word) is all `event`.
    """

    event: str
    level: str = ""
    time: datetime | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ours(self) -> bool:
        """False for a trace or a library's word."""
        return bool(self.level)

    @property
    def device(self) -> DeviceKind | None:
        """The device that the line speaks of."""
        named = str(self.fields.get("device") or self.fields.get("worker") or "")
        for kind in DeviceKind:
            if named == kind.value:
                return kind
        return _KINDS.get(self.event.partition(".")[0]) if self.ours else None

    @property
    def finding(self) -> str | None:
        """The finding (KSK-NNN) that explains the line, where one does."""
        written = _ID.search(f"{self.event} {self.text}")
        if written is not None:
            return normal(written[0])
        if self.event in _TROUBLES:
            return _TROUBLES[self.event].value
        kind = self.device
        if self.event == "starts.left_out" and kind is not None:
            return device_id(kind, Reason.LEFT_OUT)
        reason = self.fields.get("reason")
        if kind is None or not isinstance(reason, str) or reason not in {*Reason}:
            return None
        return device_id(kind, Reason(reason))

    @property
    def text(self) -> str:
        """The fields as `name=value`, those without a value left out."""
        said = (f"{name}={_plain(value)}" for name, value in self.fields.items() if value != "")
        return " ".join(said)

    def as_json(self) -> str:
        """Return the line as the daemon writes it, with the finding that explains it."""
        told = dict(self.fields) | {"event": self.event}
        if self.ours:
            told["level"] = self.level
        if self.time is not None:
            told["timestamp"] = self.time.isoformat().replace("+00:00", "Z")
        if (finding := self.finding) is not None:
            told["finding"] = finding
        return json.dumps(told, ensure_ascii=False)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def parse(line: str) -> Entry:
    """Read a line that the daemon wrote to its standard error."""
    line = line.rstrip("\n")
    if line.startswith("{"):
        try:
            said = json.loads(line)
        except ValueError:
            return Entry(line)
        if isinstance(said, dict) and said.get("level") in LEVELS:
            fields = {name: value for name, value in said.items() if name not in _OWN}
            fields = {name: value for name, value in fields.items() if value is not None}
            return Entry(str(said.get("event")), said["level"], _time(said), fields)
    return Entry(line)


def parse_journal(line: str) -> Entry | None:
    """Read a line of `journalctl -o json` (systemd.journal-fields(7)); None for one without text.

    What systemd says of the unit is a line as well.
    """
    try:
        said = json.loads(line)
    except ValueError:
        return None
    message = said.get("MESSAGE") if isinstance(said, dict) else None
    if isinstance(message, list):  # bytes that are no text
        message = bytes(message).decode("utf-8", "replace")
    if not isinstance(message, str):
        return None
    entry = parse(message)
    if entry.ours:
        return entry
    at = datetime.fromtimestamp(int(said["__REALTIME_TIMESTAMP"]) / 1e6, UTC)
    if said.get("_TRANSPORT") == "stdout":
        return Entry(entry.event, "", at)  # a part of a trace
    level = LEVELS[_PRIORITIES.get(str(said.get("PRIORITY")), 1)]
    return Entry(message, level, at, {"by": said.get("SYSLOG_IDENTIFIER", "")})


def _time(said: Mapping[str, Any]) -> datetime | None:
    try:
        return datetime.fromisoformat(str(said["timestamp"])).astimezone(UTC)
    except (KeyError, ValueError):
        return None


def moment(text: str, now: datetime) -> datetime:
    """Read "10m", "2h", "3d", "14:30" (today) or a date of ISO 8601, with the time zone of `now`.

    Raises ValueError.
    """
    ago = _AGO.fullmatch(text.strip())
    if ago is not None:
        return now - timedelta(seconds=int(ago[1]) * _SECONDS[ago[2]])
    if re.fullmatch(r"\d{1,2}:\d{2}(:\d{2})?", text.strip()):
        text = f"{now:%Y-%m-%d}T{text.strip().zfill(5)}"
    read = datetime.fromisoformat(text.strip())
    return read if read.tzinfo is not None else read.replace(tzinfo=now.tzinfo)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines are wanted; None and the lowest level want all."""

    visit: str | None = None
    device: DeviceKind | None = None
    level: str = LEVELS[0]
    since: datetime | None = None

    def select(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """Yield the wanted lines; a line that bears no level goes with the one before it."""
        kept = self == Wanted(since=self.since)
        for entry in entries:
            if entry.ours:
                kept = self._takes(entry)
            elif entry.time is not None and self.since is not None:
                kept = kept and entry.time >= self.since
            if kept:
                yield entry

    def _takes(self, entry: Entry) -> bool:
        if LEVELS.index(entry.level) < LEVELS.index(self.level):
            return False
        if self.since is not None and entry.time is not None and entry.time < self.since:
            return False
        if self.device is not None and entry.device is not self.device:
            return False
        return self.visit is None or str(entry.fields.get("visit", "")).startswith(self.visit)
