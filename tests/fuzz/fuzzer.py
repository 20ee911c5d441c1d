"""Feeds the readers with mutated messages, and the vetting with mutated documents."""

from __future__ import annotations

import asyncio
import contextlib
import random
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from kioskd.documents.vetting import Vetter
from kioskd.errors import DocumentError, DocumentFault
from tests.fuzz.messages import Target
from tests.fuzz.mutations import mutate

VET_S: Final = 20.0
AT_ONCE: Final = 2


@dataclass
class Findings:
    """What came of it. A crash is an input, and what it did."""

    executions: dict[str, int] = field(default_factory=dict)
    crashes: list[tuple[str, bytes, str]] = field(default_factory=list)
    faults: dict[str, int] = field(default_factory=dict)
    """What was said of the documents."""

    def count(self, name: str) -> None:
        """Note one execution."""
        self.executions[name] = self.executions.get(name, 0) + 1


def feed(target: Target, data: bytes, findings: Findings) -> None:
    """Let a reader read once; note what it must not do."""
    findings.count(target.name)
    started = time.thread_time()
    try:
        target.read(data)
    except target.refuses:
        pass
    except Exception as error:  # noqa: BLE001  (that is what is looked for)
        findings.crashes.append((target.name, data, repr(error)))
    if time.thread_time() - started > target.slow_s:
        findings.crashes.append((target.name, data, f"took more than {target.slow_s:g} s"))


def fuzz_messages(
    targets: list[Target], chance: random.Random, findings: Findings, *, rounds: int
) -> None:
    """Feed each reader its own messages first, then `rounds` mutations."""
    everything = [seed for target in targets for seed in target.seeds]
    for target in targets:
        for seed in target.seeds:
            target.read(seed)  # what it must understand
            findings.count(target.name)
    for _ in range(rounds):
        target = chance.choice(targets)
        feed(target, mutate(chance, chance.choice(target.seeds), everything), findings)


async def vet(name: str, data: bytes, folder: Path, findings: Findings) -> None:
    """Vet one document as the daemon does; note whatever is neither pages nor a refusal."""
    findings.count("documents to print")
    with tempfile.TemporaryDirectory(dir=folder) as place:
        source, target = Path(place) / "source.pdf", Path(place) / "target"
        source.write_bytes(data)
        target.mkdir()
        try:
            async with asyncio.timeout(2 * VET_S):
                vetted = await Vetter(deadline=VET_S, stall=VET_S).vet(source, target)
        except DocumentError as error:
            said: str = error.fault
            if error.fault is DocumentFault.NOT_NOW or list(target.iterdir()):
                findings.crashes.append((name, data, f"{error.fault}, files are left"))
        except Exception as error:  # noqa: BLE001  (that is what is looked for)
            said = "crash"
            findings.crashes.append((name, data, repr(error)))
        else:
            said = "pages"
            if not vetted.pages or not vetted.printable.read_bytes().startswith(b"%PDF-"):
                findings.crashes.append((name, data, "pages that are none"))
    findings.faults[said] = findings.faults.get(said, 0) + 1


async def fuzz_documents(
    documents: dict[str, bytes], chance: random.Random, findings: Findings, *, until: float
) -> None:
    """Vet each document, then mutations of them until the monotonic time `until`."""
    seeds = [data for data in documents.values() if len(data) < 100_000]
    turn = iter([*documents.items()])

    async def work(folder: Path) -> None:
        for name, data in turn:
            await vet(name, data, folder, findings)
        while time.monotonic() < until:
            await vet("mutation", mutate(chance, chance.choice(seeds), seeds), folder, findings)

    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kioskd-fuzz-")))
        await asyncio.gather(*(work(folder) for _ in range(AT_ONCE)))
