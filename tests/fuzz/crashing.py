"""A vetting worker with a fault of its own, to see that the fuzzer sees one."""

from __future__ import annotations

from kioskd.documents.vetting_worker import VettingWorker


class CrashingWorker(VettingWorker):
    """Raises what nobody expects."""

    def vet(self) -> int:
        """Crash."""
        raise KeyError("a fault")
