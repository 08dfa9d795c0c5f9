"""The fraction libraries' memory accounts of every claim, corrected by what the driver says of its processes.

A folder per claim, as nodeagent.shim.placing makes it; for processes of this host and of containers alike.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from nodeagent.contract.allocation import NodeReport
from nodeagent.contract.units import MIB
from nodeagent.shares.time_slices import TimeSlice
from nodeagent.shim import placing, region
from nodeagent.shim.reconciling import Reconciliation, by_host_pid, reconcile
from nodeagent.shim.region import Holder

_FIRST_CONTEXT = 512 * MIB  # of a CUDA context on a data-centre GPU, until measured
_REPORTED_DRIFT = 256 * MIB


def correct(
    folder: Path, gpu: str, used: Mapping[int, int], before: Collection[Holder]
) -> tuple[Reconciliation, Collection[int]]:
    """Correct what a context takes in a claim's accounts on a GPU, as measured; also returns the pids with an account.

    folder  the claim's, as nodeagent.shim.placing makes it
    used    bytes by pid, as the driver says
    before  the accounts before the driver was read: one that has changed since measures nothing

    Raises OSError or ValueError where the accounts cannot be read or written.
    """
    path = placing.accounts(folder)
    accounts = by_host_pid(region.holders(path), gpu, used.keys())
    known = by_host_pid(before, gpu, used.keys())
    steady = {pid: account for pid, account in accounts.items() if known.get(pid) == account}
    finding = reconcile(steady, {pid: used[pid] for pid in steady})
    if finding.context is not None:
        region.set_context(path, gpu, finding.context)
    return finding, accounts.keys()


class ShareAccounts:
    """Reads and corrects the accounts below `directory`.

    drift  bytes that the driver saw beyond the corrected accounts at the last check, by claim and GPU
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.drift: Mapping[tuple[str, str], int] = {}
        self._contexts: dict[str, int] = {}
        self._before: dict[str, tuple[Holder, ...]] = {}
        self._unreadable: dict[str, str] = {}

    def context(self, gpu: str) -> int:
        """Bytes that a CUDA context takes on a GPU, as last measured."""
        return self._contexts.get(gpu, _FIRST_CONTEXT)

    def remember(self) -> None:
        """Read the accounts before the driver is read: an account that changes in between measures nothing.

        What a workload wrote beyond its accounts is given back to the disk.
        """
        self._before.clear()
        self._unreadable.clear()
        for folder in self.directory.glob("*/lib"):
            path, claim = placing.accounts(folder.parent), folder.parent.name
            try:
                region.bound(path)
                self._before[claim] = region.holders(path)
            except (OSError, ValueError) as e:
                self._unreadable[claim] = f"its accounts cannot be read: {e}"

    def reconcile(self, report: NodeReport) -> dict[str, str]:
        """Correct every claim's accounts by what the driver says of its processes; returns remarks by claim."""
        remarks = {claim: [text] for claim, text in self._unreadable.items()}
        drift: dict[tuple[str, str], int] = {}
        for claim, gpu in sorted({(p.claim, p.gpu) for p in report.processes if p.claim is not None}):
            if claim not in self._unreadable and (self.directory / claim / "lib").exists():
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
        try:
            finding, counted = correct(self.directory / claim, gpu, used, self._before.get(claim, ()))
        except (OSError, ValueError) as e:
            yield f"its accounts cannot be read: {e}"
            return
        if finding.context is not None:
            self._contexts[gpu] = finding.context
        drift[claim, gpu] = finding.drift
        for pid in sorted(used.keys() - counted):
            yield f"process {pid} uses GPU {gpu} without the fraction library: its memory is not limited"
        if abs(finding.drift) > _REPORTED_DRIFT:
            yield f"its accounts on GPU {gpu} are off by {finding.drift // MIB} MiB"
