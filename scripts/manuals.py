"""Make man pages and shell completion from the commands' own help, into the folder given.

man/kioskctl.1, man/kioskctl-COMMAND.1, man/kioskd.8
completion/kioskctl.bash, completion/_kioskctl (zsh), completion/kioskctl.fish
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
import typer.main

from kioskd import __main__ as daemon
from kioskd import __version__, cli

SHELLS = {"bash": "kioskctl.bash", "zsh": "_kioskctl", "fish": "kioskctl.fish"}
SCRIPT = "import sys; sys.argv[0] = 'kioskctl'; from kioskd.cli import main; main()"
STATUS = {
    "0": "All is well.",
    "1": "Degraded: calls work, something else does not.",
    "2": "Broken, or wrong settings.",
    "3": "Wrong usage.",
    "4": "kioskd does not answer, or an error of kioskctl's own.",
}
ENVIRONMENT = {
    "KIOSKD_SOCKET": "The daemon's control socket, in place of --socket.",
    "NO_COLOR": "Set to anything: no colours.",
    "TERM": "vt100, vt220, dumb and the like (a serial line): letters and lines only, nothing is "
    "drawn twice; --watch and top print a line for each change.",
    "LC_ALL, LC_MESSAGES, LANG": "The language of findings, French or English.",
}
FILES = {
    "/etc/kioskd/kioskd.toml": "The configuration.",
    "/run/kioskd/control.sock": "Where kioskctl finds kioskd: for root and the group kioskd.",
    "/var/lib/kioskd": "How kioskd's starts went, whether it is in maintenance, the audit log.",
}


def roff(text: str) -> str:
    """Return text in which roff sees no request and no escape of its own (groff(7))."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join(
        f"\\&{line}" if line.startswith((".", "'")) else line for line in escaped.split("\n")
    )


def _head(name: str, section: int, short: str) -> Iterator[str]:
    yield f'.TH {name.upper()} {section} "" "kioskd {__version__}" "kioskd"'
    yield ".SH NAME"
    yield f"{roff(name)} \\- {roff(short.rstrip('.'))}"


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        yield ".PP"
        yield roff(re.sub(r"\s+", " ", paragraph))


def _table(title: str, rows: dict[str, str]) -> Iterator[str]:
    yield f".SH {title}"
    for name, text in rows.items():
        yield ".TP"
        yield f"\\fB{roff(name)}\\fR"
        yield roff(text)


def _options(command: Any, context: Any) -> Iterator[str]:
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and "completion" not in record[0]:
            yield ".TP"
            yield f"\\fB{roff(record[0])}\\fR"
            yield roff(record[1])


def _usage(command: Any, context: Any) -> str:
    return str(command.get_usage(context)).removeprefix("Usage: ").strip()


def _subcommands(command: Any) -> dict[str, Any]:
    return dict(getattr(command, "commands", {}))


def _leaf(name: str, command: Any, parent: Any) -> Iterator[str]:
    """A page of one command, or of a group with all that is below it."""
    context = typer.Context(command, info_name=name, parent=parent)
    help_ = command.help or ""
    yield from _head(f"kioskctl-{name}", 1, help_.split("\n")[0])
    yield ".SH SYNOPSIS"
    yield f"\\fB{roff(_usage(command, context))}\\fR"
    yield ".SH DESCRIPTION"
    yield from _paragraphs(help_)
    subs = _subcommands(command)
    if not subs:
        yield ".SH OPTIONS"
        yield from _options(command, context)
    for sub, one in subs.items():
        below = typer.Context(one, info_name=sub, parent=context)
        yield f'.SH "{sub.upper()}"'
        yield f"\\fB{roff(_usage(one, below))}\\fR"
        yield from _paragraphs(one.help or "")
        yield from _options(one, below)
    yield from _table("EXIT STATUS", STATUS)
    yield ".SH SEE ALSO"
    yield "\\fBkioskctl\\fR(1), \\fBkioskd\\fR(8)"


def _whole(root: Any) -> Iterator[str]:
    """The page of kioskctl itself."""
    yield from _head("kioskctl", 1, "the technician's command line of a video kiosk")
    yield ".SH SYNOPSIS"
    yield "\\fBkioskctl\\fR COMMAND [OPTIONS]"
    yield ".SH DESCRIPTION"
    yield from _paragraphs(
        "Finds out what is wrong with a kiosk and what to do, also when kioskd is dead. "
        "The place to begin is: kioskctl doctor"
    )
    told = {}
    for name, command in root.commands.items():
        told[f"kioskctl-{name}(1)"] = re.sub(r"\s+", " ", (command.help or "").split("\n\n")[0])
    yield from _table("COMMANDS", told)
    yield from _table("EXIT STATUS", STATUS)
    yield from _table("ENVIRONMENT", ENVIRONMENT)
    yield from _table("FILES", FILES)
    yield ".SH SEE ALSO"
    yield "\\fBkioskd\\fR(8)"


def _daemon() -> Iterator[str]:
    """The page of kioskd."""
    root: Any = typer.main.get_command(daemon.app)
    context = typer.Context(root, info_name="kioskd")
    yield from _head("kioskd", 8, "the daemon of a video kiosk")
    yield ".SH SYNOPSIS"
    yield "\\fBkioskd\\fR COMMAND [OPTIONS]"
    yield ".SH DESCRIPTION"
    yield from _paragraphs(root.help or "")
    for name, command in root.commands.items():
        below = typer.Context(command, info_name=name, parent=context)
        yield f'.SH "{name.upper()}"'
        yield f"\\fB{roff(_usage(command, below))}\\fR"
        yield from _paragraphs(command.help or "")
        yield from _options(command, below)
    yield from _table("FILES", FILES)
    yield ".SH SEE ALSO"
    yield "\\fBkioskctl\\fR(1)"


def pages() -> dict[str, str]:
    """Return all man pages by their file names."""
    root: Any = typer.main.get_command(cli.app)
    context = typer.Context(root, info_name="kioskctl")
    made = {"kioskctl.1": _whole(root), "kioskd.8": _daemon()}
    for name, command in root.commands.items():
        made[f"kioskctl-{name}.1"] = _leaf(name, command, context)
    return {name: "\n".join(lines) + "\n" for name, lines in made.items()}


def completion(shell: str) -> str:
    """Return the script that a shell reads, as the library makes it."""
    environment = {**os.environ, "_KIOSKCTL_COMPLETE": f"source_{shell}"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout.strip() + "\n"


def main(folder: Path) -> None:
    """Write all of it below `folder`."""
    for below in ("man", "completion"):
        (folder / below).mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / "man" / name).write_text(text, "utf-8")
    for shell, name in SHELLS.items():
        (folder / "completion" / name).write_text(completion(shell), "utf-8")
    print(f"{folder}/man, {folder}/completion")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
