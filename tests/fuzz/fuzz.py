"""Runs mutations until time is over, and keeps what crashes something."""

from __future__ import annotations

import asyncio
import random
import signal
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil
from structlog.testing import capture_logs

from kioskd.documents.vetting import Vetter
from kioskd.errors import DocumentError, WorkerDied
from tests.corpus import CORPUS
from tests.fuzz.mutations import mutate
from tests.fuzz.targets import Target

MESSAGE_S: Final = 2.0
"""Of the processor. One input of messages takes a millisecond; more than this is a hang."""
DOCUMENT_S: Final = 8.0
LADDER_S: Final = 30.0
"""What starting and ending a worker may add on a busy machine."""
GROWTH: Final = 256 << 20
"""Bytes that our own process may grow by, in all."""
SEED_LIMIT: Final = 1 << 20
"""Bytes of a document that is worth mutating: larger ones are bombs that cost all the time."""
_LIMITS: Final = {
    *(-signal.SIGXCPU, -signal.SIGKILL),
    # How PDFium and the C++ library end a process that memory is refused to.
    *(-signal.SIGABRT, -signal.SIGTRAP, -signal.SIGILL),
}
"""Ends of a worker that are our own limits' doing."""


@dataclass(slots=True)
class Score:
    """What was run, and what crashed; each crash is a line for people."""

    seed: int
    folder: Path
    messages: int = 0
    documents: int = 0
    crashes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"fuzz: {self.messages + self.documents} executions, {len(self.crashes)} crashes"

    def crashed(self, target: str, data: bytes, why: str) -> None:
        """Note a crash and keep its input."""
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / f"{target}-{self.seed}-{len(self.crashes)}"
        file.write_bytes(data)
        self.crashes.append(f"{target}: {why}: {file}")


async def fuzz(score: Score, targets: list[Target], seconds: float, documents: int) -> None:
    """Fuzz the targets for so long, and at the most so many documents beside them."""
    made = [one.make() for one in CORPUS.values()]
    corpus = [data for data in made if 0 < len(data) < SEED_LIMIT]
    before = psutil.Process().memory_info().rss
    end = time.monotonic() + seconds  # from when there is something to mutate
    vetting = asyncio.create_task(_vet_documents(score, corpus, end, documents))
    chance = random.Random(score.seed)
    while targets and time.monotonic() < end:
        for one in targets:
            run_once(score, one, mutate(chance, chance.choice(one.seeds), one.seeds))
        await asyncio.sleep(0)
    await vetting
    grown = psutil.Process().memory_info().rss - before
    if grown > GROWTH:
        score.crashed("memory", b"", f"grew by {grown >> 20} MiB")


def run_once(score: Score, target: Target, data: bytes) -> None:
    """Give a target one input."""
    score.messages += 1
    started = time.thread_time()  # not the clock: others may have the processor
    try:
        target.run(data)
    except Exception as error:  # noqa: BLE001  (whatever it is, it should not be)
        score.crashed(target.name, data, repr(error)[:200])
    took = time.thread_time() - started
    if took > MESSAGE_S:
        score.crashed(target.name, data, f"took {took:.1f} s")


async def _vet_documents(score: Score, seeds: list[bytes], end: float, documents: int) -> None:
    chance = random.Random(score.seed)
    while time.monotonic() < end and score.documents < documents:
        await vet_once(score, mutate(chance, chance.choice(seeds), seeds))


async def vet_once(score: Score, data: bytes) -> None:
    """Give a document to a real vetting process."""
    score.documents += 1
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, capture_logs() as logs:
        source = Path(folder) / "in.pdf"
        source.write_bytes(data)
        try:
            await Vetter(deadline=DOCUMENT_S, stall=DOCUMENT_S).vet(source, Path(folder))
        except DocumentError as error:
            codes = [one["code"] for one in logs if one["event"] == "worker.died"]
            if isinstance(error.__cause__, WorkerDied) and not set(codes) <= _LIMITS:
                score.crashed("document", data, f"the worker ended with {codes}")
        except Exception as error:  # noqa: BLE001
            score.crashed("document", data, repr(error)[:200])
    took = time.monotonic() - started
    if took > DOCUMENT_S + LADDER_S:
        score.crashed("document", data, f"took {took:.1f} s")
