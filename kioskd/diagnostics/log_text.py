"""Lines of the log for a terminal, each trouble explained where it is first told."""

from __future__ import annotations

from datetime import date, datetime
from typing import Final

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from kioskd.diagnostics.logs import Entry
from kioskd.diagnostics.terminal import width
from kioskd.diagnostics.words import Language, words

_SHORT: Final = {
    "debug": ("debug", "dim"),
    "info": ("info ", "green"),
    "warning": ("warn ", "bold yellow"),
    "error": ("ERROR", "bold red"),
    "critical": ("FATAL", "bold red"),
}
_TIME_COLUMNS: Final = 15


class LogPrinter:
    """Prints entries in local time, and under a line the finding that explains it."""

    def __init__(self, console: Console, language: Language) -> None:
        self._console = console
        self._words = words(language)
        self._day: date | None = None
        self._told: set[str] = set()

    def show(self, entry: Entry) -> None:
        """Print one line, and what it means where a finding tells."""
        at = entry.time.astimezone() if entry.time is not None else None
        if at is not None and at.date() != self._day:
            self._day = at.date()
            self._console.print(Text(f"-- {self._day:%Y-%m-%d} --", style="dim"))
        self._print(_line(entry, at), indent=_TIME_COLUMNS)
        finding = entry.finding
        if finding is None:
            return
        said = self._words.of(finding)
        known = finding in self._told
        self._told.add(finding)
        mark = Text.assemble((finding, "bold cyan"), "  ", (said.title, "cyan"))
        if not known:
            mark.append(f"\n{self._words.ui.action}{self._words.ui.colon}{said.action}")
        self._console.print(Padding(mark, (0, 0, 0, _TIME_COLUMNS)), width=width(self._console))

    def _print(self, line: Text, indent: int) -> None:
        """Print a line; what does not fit goes on below its text, not below its time."""
        head, rest = line[:indent], line[indent:]
        room = max(20, self._console.width - indent)
        for number, part in enumerate(rest.wrap(self._console, room)):
            before = head if number == 0 else Text(" " * indent)
            self._console.print(Text.assemble(before, part), soft_wrap=True)


def _line(entry: Entry, at: datetime | None) -> Text:
    time = f"{at:%H:%M:%S} " if at is not None else " " * 9
    if not entry.ours:
        return Text(f"{time}      {entry.event}", style="dim")
    name, style = _SHORT[entry.level]
    line = Text.assemble((time, "dim"), (name, style), " ", (entry.event, "bold"))
    for key, value in entry.fields.items():
        if value != "":
            line.append(f" {key}=", style="dim")
            line.append(value if isinstance(value, str) else str(value))
    return line
