"""`make fuzz SECONDS=60 [SEED=n]`: half of the time for messages, half for documents.

The last line is for programs: `fuzz: N executions, N crashes`; the exit code is 1 where there
is a crash. Its input is kept in `build/fuzz/`.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import sys
import time
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from kioskd import logging
from tests.fuzz.corpus import documents
from tests.fuzz.fuzzer import Findings, fuzz_documents, fuzz_messages
from tests.fuzz.messages import TARGETS

OUT: Final = Path(__file__).parents[2] / "build" / "fuzz"
ROUNDS: Final = 1000


def main() -> int:
    """Fuzz for as long as SECONDS says."""
    seconds = float(os.environ.get("SECONDS_") or 60)
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(2**32))
    logging.configure(verbose=False)
    print(f"seed {seed}", flush=True)
    findings, chance = Findings(), random.Random(seed)
    end = time.monotonic() + seconds
    while time.monotonic() < end - seconds / 2:
        fuzz_messages(TARGETS, chance, findings, rounds=ROUNDS)
    asyncio.run(fuzz_documents(documents(), chance, findings, until=end))
    _report(findings)
    return 1 if findings.crashes else 0


def _report(findings: Findings) -> None:
    table = Table("what", "executions", title="Fuzzing")
    for name, number in findings.executions.items():
        table.add_row(name, str(number))
    for name, number in findings.faults.items():
        table.add_row(f"  of them: {name}", str(number))
    Console(width=100).print(table)
    for name, data, what in findings.crashes:
        OUT.mkdir(parents=True, exist_ok=True)
        file = OUT / hashlib.sha256(data).hexdigest()[:16]
        file.write_bytes(data)
        print(f"{name}: {what}: {file}")
    print(f"fuzz: {sum(findings.executions.values())} executions, {len(findings.crashes)} crashes")


if __name__ == "__main__":
    sys.exit(main())
