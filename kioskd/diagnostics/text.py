"""A report for a terminal of 80 columns, with or without colour."""

from __future__ import annotations

from typing import Final

from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kioskd.diagnostics.findings import Severity
from kioskd.diagnostics.report import Finding, Report, Verdict
from kioskd.diagnostics.words import Headings, Language, words

WIDTH: Final = 80
_STYLES: Final = {
    Severity.BROKEN: "bold red",
    Severity.DEGRADED: "bold yellow",
    Severity.NOTE: "bold cyan",
}


def show(report: Report, console: Console) -> None:
    """Print a report."""
    ui = words(report.language).ui
    for one in report.findings:
        console.print(_finding(one, ui), width=min(WIDTH, console.width))
    if report.verdict is Verdict.HEALTHY:
        console.print(ui.well, style="bold green")
    for check in report.checks:
        if check.left_out is not None:
            console.print(
                f"{ui.unchecked}{ui.colon}{check.name} ({check.left_out})", highlight=False
            )


def show_one(finding: Finding, language: Language, console: Console) -> None:
    """Print one finding."""
    console.print(_finding(finding, words(language).ui), width=min(WIDTH, console.width))


def _finding(one: Finding, ui: Headings) -> Group:
    severity = {
        Severity.BROKEN: ui.broken,
        Severity.DEGRADED: ui.degraded,
        Severity.NOTE: ui.note,
    }[one.severity]
    head = Text.assemble((severity, _STYLES[one.severity]), "  ", one.id, "  ", (one.title, "bold"))
    rows = Table.grid(padding=(0, 1), expand=True)
    rows.add_column(no_wrap=True)
    rows.add_column(ratio=1, overflow="fold")
    for name, text in (
        (ui.means, one.means),
        (ui.cause, one.cause),
        (ui.detail, one.detail),
        (ui.action, one.action),
    ):
        if text:
            rows.add_row(Text(name), Text(text))
    for number, effect in enumerate(one.consequences):
        seen = f" ({effect.detail})" if effect.detail else ""
        heading = ui.also if number == 0 else ""
        rows.add_row(Text(heading), Text(f"{effect.id}  {effect.title}{seen}"))
    return Group(head, Padding(rows, (0, 0, 1, 2)))
