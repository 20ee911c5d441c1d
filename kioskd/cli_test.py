"""`kioskctl test`: try the kiosk's parts, with the daemon alive or dead (docs/self-test.md).

Exit codes as of doctor: 0 well, 1 degraded, 2 failed, 3 wrong usage, 4 nothing could be tried:
a resident is there, or kioskd does not answer.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NoReturn, TypeAlias

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from kioskd.control import client
from kioskd.control import trial as trials
from kioskd.control.trial import Ended, Options, Outcome, Result, Why
from kioskd.diagnostics import daemon
from kioskd.diagnostics import trials as telling
from kioskd.diagnostics.board import in_thread
from kioskd.diagnostics.trials import TestReport, TrialTold
from kioskd.diagnostics.trials_text import show_end, show_trial
from kioskd.diagnostics.words import Language, preferred, words
from kioskd.errors import ControlError, SettingsError
from kioskd.hal.trial import Trial
from kioskd.runtime.shared import SHARED_MEMORY

if TYPE_CHECKING:
    from kioskd.settings import Settings

# What is heavy is imported where it is used: this module is loaded for every kioskctl command.

PASSED, DEGRADED, FAILED, USAGE, INTERNAL = range(5)
_CODES: Final = {Result.FAILED: FAILED, Result.DEGRADED: DEGRADED}
CONFIG: Final = Path("/etc/kioskd/kioskd.toml")
SOCKET: Final = Path("/run/kioskd/control.sock")

Try: TypeAlias = Callable[
    [Trial, Options, Callable[[trials.Progress], None]], Awaitable[Outcome | Ended]
]


class What(StrEnum):
    """What can be asked for: each trial (kioskd/hal/trial.py), or all of them."""

    CAMERA = "camera"
    MICROPHONE = "microphone"
    SPEAKER = "speaker"
    PANEL = "panel"
    PRINTER = "printer"
    SCANNER = "scanner"
    NETWORK = "network"
    CALL = "call"
    ALL = "all"


@dataclass(slots=True)
class _Session:
    """One run of the command."""

    language: Language
    console: Console
    folder: Path
    quiet: bool
    asks: bool
    expect: str
    buttons_s: float
    outcomes: list[Outcome] = field(default_factory=list)
    told: list[TrialTold] = field(default_factory=list)
    stopped: Why | None = None

    async def run(self, wanted: list[Trial], attempt: Try) -> None:
        """Try one after the other, until a resident comes."""
        for number, trial in enumerate(wanted):
            if trial is Trial.SCANNER:
                await self._lay_page()
            answer = await self._one(trial, attempt)
            if isinstance(answer, Ended):
                self.stopped = answer.why
                rest = wanted[number:]
                self.told += [telling.untried(one, self.language) for one in rest]
                return
            self._take(answer)

    async def _one(self, trial: Trial, attempt: Try) -> Outcome | Ended:
        said = words(self.language)
        options = Options(expect=self.expect)
        if trial is Trial.PANEL and self.buttons_s:
            options = Options(buttons_s=self.buttons_s)
            print(said.tests.press_buttons, file=sys.stderr)
        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            console=Console(stderr=True),
            transient=True,
            disable=self.quiet or not sys.stderr.isatty(),
        )
        with bar:
            task = bar.add_task(said.trials[trial], total=1.0)
            return await attempt(trial, options, lambda one: bar.update(task, completed=one.done))

    async def _lay_page(self) -> None:
        """Ask for the page that was printed; whoever does not lay it has not compared it."""
        printed = next((one.code for one in self.outcomes if one.code), None)
        if printed is None or self.expect or not self.asks:
            return
        question = words(self.language).tests.lay_page.format(code=printed)
        print(question, end="", flush=True)  # Python's own prompt goes to stderr
        try:
            answer = await in_thread(input)
        except EOFError:  # nobody is there after all
            return
        if answer.strip().lower() != "s":
            self.expect = printed

    def _take(self, outcome: Outcome) -> None:
        files = telling.keep(outcome, self.folder)
        self.outcomes.append(outcome)
        self.told.append(telling.told(outcome, self.language, files))
        if not self.quiet:
            show_trial(self.told[-1], self.language, self.console)


def run(
    what: Annotated[list[What], typer.Argument(help="What to try; all is one after the other.")],
    config: Annotated[Path, typer.Option(help="The daemon's configuration.")] = CONFIG,
    socket: Annotated[
        Path | None,
        typer.Option(envvar="KIOSKD_SOCKET", help="The daemon's control socket."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Where pictures and sounds go; default: a folder in RAM.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.pdf", help="Write a report of one page.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    language: Annotated[
        Language | None, typer.Option(help="Default: the terminal's, else the kiosk's.")
    ] = None,
    buttons: Annotated[
        int, typer.Option(min=0, max=60, help="Seconds for somebody to press the panel's buttons.")
    ] = 0,
    expect: Annotated[
        str, typer.Option(metavar="CODE", help="The code of the page that lies on the scanner.")
    ] = "",
    schema: Annotated[bool, typer.Option("--schema", help="Print the schema of --json.")] = False,
) -> None:
    """Try parts of the kiosk: a picture, a sound, a page, a call. Works with the daemon dead.

    Never while a resident is there; whoever touches the kiosk ends the test.
    """
    if schema:
        print(json.dumps(TestReport.model_json_schema(), indent=2))
        return
    try:
        Options(expect=expect.upper())
    except ValidationError:
        _fail(f"{expect!r} is no code of a page", USAGE)
    from kioskd.app import examine

    subject, settings = examine.subject(config)
    session = _Session(
        language=language or preferred(os.environ, settings.kiosk.language if settings else None),
        console=Console(highlight=False),
        folder=_folder(output),
        quiet=as_json,
        asks=sys.stdin.isatty() and sys.stdout.isatty() and not as_json,
        expect=expect.upper(),
        buttons_s=buttons,
    )
    wanted = list(Trial) if What.ALL in what else [Trial(one.value) for one in dict.fromkeys(what)]
    told = _tried(session, wanted, socket or subject.control, settings)
    _end(session, told, report, as_json=as_json)


def _tried(
    session: _Session, wanted: list[Trial], control: Path, settings: Settings | None
) -> TestReport:
    began, at = time.monotonic(), datetime.now().astimezone()
    try:
        by_daemon = asyncio.run(_run(session, wanted, control, settings))
    except (ControlError, OSError) as error:
        _fail(str(error), INTERNAL)
    except SettingsError as error:
        _fail("\n".join(error.faults), FAILED)
    return telling.report(
        session.told,
        where=next((one.where for one in session.outcomes if one.where), None),
        language=session.language,
        time=at,
        took_s=time.monotonic() - began,
        by_daemon=by_daemon,
        stopped=session.stopped,
    )


def _end(session: _Session, told: TestReport, report: Path | None, *, as_json: bool) -> NoReturn:
    if as_json:
        print(json.dumps(told.model_dump(mode="json"), indent=2, ensure_ascii=False))
    else:
        show_end(told, session.console)
    if report is not None:
        from kioskd.diagnostics.trials_paper import write_paper

        try:
            write_paper(report, told, session.outcomes)
        except OSError as error:
            _fail(f"{report}: {error.strerror}", INTERNAL)
        if not as_json:
            print(f"{words(told.language).tests.report}: {report}")
    if told.stopped is not None:
        raise typer.Exit(INTERNAL)
    raise typer.Exit(_CODES.get(told.result, PASSED))


async def _run(
    session: _Session, wanted: list[Trial], socket: Path, settings: Settings | None
) -> bool:
    """Let the daemon do it, or do it in its place; return which."""
    found = await daemon.ask(socket)
    if not found.dead:
        if found.status is None:
            said = found.found[0].detail if found.found else str(socket)
            raise ControlError(said)

        async def ask(
            trial: Trial, options: Options, tell: Callable[[trials.Progress], None]
        ) -> Outcome | Ended:
            return await client.run_test(socket, trial, options, tell)

        await session.run(wanted, ask)
        return True
    if settings is None:
        raise ControlError(f"{found.found[0].detail}; and there is no configuration to go by")
    if not session.quiet:
        print(words(session.language).tests.by_hand, file=sys.stderr)
    async with _by_hand(settings) as attempt:
        await session.run(wanted, attempt)
    return False


@asynccontextmanager
async def _by_hand(settings: Settings) -> AsyncIterator[Try]:
    from kioskd.app.broker import broker_address
    from kioskd.app.run import build_devices
    from kioskd.app.testing import own_bench, run_trial

    devices = build_devices(settings)
    address = broker_address(settings.kiosk.id, settings.broker)
    async with own_bench(settings, devices, address) as bench:

        async def attempt(
            trial: Trial, options: Options, tell: Callable[[trials.Progress], None]
        ) -> Outcome | Ended:
            return await run_trial(bench, trial, options, tell)

        yield attempt


def _folder(output: Path | None) -> Path:
    """Return where files go. In RAM, and for the caller only: the hall may be on a picture."""
    try:
        if output is not None:
            output.mkdir(parents=True, exist_ok=True)
            return output
        ram = SHARED_MEMORY if os.access(SHARED_MEMORY, os.W_OK) else None
        return Path(tempfile.mkdtemp(prefix="kioskctl-test-", dir=ram))
    except OSError as error:
        _fail(f"{output}: {error.strerror}", USAGE)


def _fail(message: str, code: int) -> NoReturn:
    print(message, file=sys.stderr)
    raise typer.Exit(code)
