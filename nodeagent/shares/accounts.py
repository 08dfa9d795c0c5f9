"""The fraction libraries' memory accounts of every claim, corrected by what the driver says of its processes.

A folder per claim, as nodeagent.shim.placing makes it; for processes of this host and of containers alike.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from nodeagent.contract.allocation import NodeReport
from nodeagent.contract.units import MIB
from nodeagent.shares.time_slices import TimeSlice
from nodeagent.shim import placing, region
from nodeagent.shim.reconciling import by_host_pid, reconcile
from nodeagent.shim.region import Holder

_FIRST_CONTEXT = 512 * MIB  # of a CUDA context on a data-centre GPU, until measured
_REPORTED_DRIFT = 256 * MIB


class ShareAccounts:
    """Reads and corrects the accounts below `directory`.

    drift  bytes that the driver saw beyond the corrected accounts at the last check, by claim and GPU
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.drift: Mapping[tuple[str, str], int] = {}
        self._contexts: dict[str, int] = {}
        self._before: dict[str, tuple[Holder, ...]] = {}

    def context(self, gpu: str) -> int:
        """Bytes that a CUDA context takes on a GPU, as last measured."""
        return self._contexts.get(gpu, _FIRST_CONTEXT)

    def remember(self) -> None:
        """Read the accounts before the driver is read: an account that changes in between measures nothing."""
        self._before.clear()
        for folder in self.directory.glob("*/lib"):
            with contextlib.suppress(OSError, ValueError):
                self._before[folder.parent.name] = region.holders(placing.accounts(folder.parent))

    def reconcile(self, report: NodeReport) -> dict[str, str]:
        """Correct every claim's accounts by what the driver says of its processes; returns remarks by claim."""
        remarks: dict[str, list[str]] = {}
        drift: dict[tuple[str, str], int] = {}
        for claim, gpu in sorted({(p.claim, p.gpu) for p in report.processes if p.claim is not None}):
            if (self.directory / claim / "lib").exists():
                used = {p.pid: p.memory_mib * MIB for p in report.processes if (p.claim, p.gpu) == (claim, gpu)}
                remarks.setdefault(claim, []).extend(self._correct(claim, gpu, used, drift))
        self.drift = drift
        return {claim: "; ".join(texts) for claim, texts in remarks.items() if texts}

    def set_time_slice(self, claim: str, gpu: str, time_slice: TimeSlice) -> None:
        """Write when a claim's launches pass. One whose accounts cannot be written goes on as it was."""
        with contextlib.suppress(OSError, ValueError):
            region.set_turn(placing.accounts(self.directory / claim), gpu, *time_slice)

    def _correct(
        self, claim: str, gpu: str, used: Mapping[int, int], drift: dict[tuple[str, str], int]
    ) -> Iterator[str]:
        path = placing.accounts(self.directory / claim)
        try:
            accounts = by_host_pid(region.holders(path), gpu, used.keys())
            before = by_host_pid(self._before.get(claim, ()), gpu, used.keys())
            steady = {pid: account for pid, account in accounts.items() if before.get(pid) == account}
            finding = reconcile(steady, {pid: used[pid] for pid in steady})
            if finding.context is not None:
                region.set_context(path, gpu, finding.context)
                self._contexts[gpu] = finding.context
        except (OSError, ValueError) as e:
            yield f"its accounts cannot be read: {e}"
            return
        drift[claim, gpu] = finding.drift
        for pid in sorted(used.keys() - accounts.keys()):
            yield f"process {pid} uses GPU {gpu} without the fraction library: its memory is not limited"
        if abs(finding.drift) > _REPORTED_DRIFT:
            yield f"its accounts on GPU {gpu} are off by {finding.drift // MIB} MiB"
