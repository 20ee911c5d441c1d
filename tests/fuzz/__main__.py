"""`make fuzz SECONDS=60 SEED=1`: exit code 1 where anything crashed."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from pathlib import Path

from tests.fuzz.fuzz import Score, fuzz
from tests.fuzz.targets import targets


def main() -> int:
    """Fuzz for as long as SECONDS says, from the seed that SEED says or a new one."""
    seconds = float(os.environ.get("SECONDS") or 60)
    score = Score(int(os.environ.get("SEED") or secrets.randbits(32)), Path("build/fuzz"))
    print(f"seed {score.seed}", flush=True)
    asyncio.run(fuzz(score, targets(), seconds, documents=sys.maxsize))
    for crash in score.crashes:
        print(crash)
    print(f"{score.messages} inputs of messages, {score.documents} documents")
    print(score)
    return int(bool(score.crashes))


if __name__ == "__main__":
    sys.exit(main())
