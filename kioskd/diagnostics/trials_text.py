"""A trial for a terminal of 80 columns, with or without colour."""

from __future__ import annotations

from typing import Final

from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kioskd.control.trial import Result
from kioskd.diagnostics.text import WIDTH
from kioskd.diagnostics.trials import TestReport, TrialTold
from kioskd.diagnostics.words import Language, words

STYLES: Final = {
    Result.PASSED: "bold green",
    Result.DEGRADED: "bold yellow",
    Result.FAILED: "bold red",
    Result.NOT_TRIED: "dim",
}
_LABEL: Final = 11


def show_trial(told: TrialTold, language: Language, console: Console) -> None:
    """Print one trial: a line for it, one for each part, and what to do where it is wrong."""
    said = words(language)
    score = "" if told.score is None else f"{told.score:3}/100"
    head = Text.assemble(
        (f"{said.tests.of(told.result):<{_LABEL}}", STYLES[told.result]),
        f"{score:>7}  ",
        (told.name, "bold"),
        f"  {told.took_s:.1f} s" if told.took_s else "",
    )
    rows = Table.grid(padding=(0, 2), expand=True)
    rows.add_column(no_wrap=True, min_width=_LABEL - 2)
    rows.add_column(no_wrap=True)
    rows.add_column(ratio=1, overflow="fold")
    for part in told.parts:
        passed = part.result is Result.PASSED
        label = Text("" if passed else said.tests.of(part.result), STYLES[part.result])
        rows.add_row(label, Text(part.name), Text(part.text))
    finding = told.finding
    if finding is not None:
        rows.add_row(Text(finding.id), Text(""), Text(finding.title, "bold"))
        if finding.detail:
            rows.add_row(Text(""), Text(said.tests.seen), Text(finding.detail))
        rows.add_row(Text(""), Text(said.tests.action), Text(finding.action))
    for file in told.files:
        rows.add_row(Text(""), Text(said.tests.files), Text(file))
    whole = Group(head, Padding(rows, (0, 0, 0, 2)))
    console.print(whole, width=min(WIDTH, console.width))


def show_end(report: TestReport, console: Console) -> None:
    """Print what all of it comes to."""
    said = words(report.language).tests
    width = min(WIDTH, console.width)
    if report.stopped is not None:
        console.print(Text(said.no_outcome(report.stopped), "bold yellow"), width=width)
    score = "-" if report.score is None else f"{report.score}/100"
    untried = sum(test.result is Result.NOT_TRIED for test in report.tests)
    line = Text.assemble(
        (f"{said.of(report.result):<{_LABEL}}", STYLES[report.result]),
        f"{score:>7}  ",
        (said.overall, "bold"),
        f"  {report.took_s:.0f} s",
        f"  ({said.of(Result.NOT_TRIED).lower()}: {untried})" if untried else "",
    )
    console.print(line, width=width)
    if report.result is Result.PASSED and report.stopped is None:
        console.print(Text(said.all_well, "bold green"), width=width)
