"""The runner: makes processes of claims, as the kubelet does of pods on Kubernetes.

One task per claim carries out its lifecycle and can begin at any point of it: after a kill -9 the next
start reads the claim's status from the store, its devices from the agent and its process from the
process table, and continues from there.

    allocated -> agent.prepare -> launch -> Running -> exit -> agent.unprepare -> Completed or Failed
    deleting  -> stop processes -> agent.unprepare -> the object goes
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar

import structlog

from migctl.backends import workload_status
from migctl.backends.event_log import EventLog
from migctl.backends.mirror import Mirror
from migctl.backends.protocol import ControlPlane, ControlPlaneError, NotFound
from migctl.backoff import delay
from migctl.clock import Clock
from migctl.embedded.kubelet.processes import START_FAILED, ClaimProcess, Processes
from migctl.embedded.kubelet.workloads import PROCESSES_FINALIZER
from migctl.objects import Claim, Phase, Workload, WorkloadType, to_builtins
from nodeagent.contract.allocation import Advice, AgentError, Allocation, NodeReport, Prepared
from nodeagent.contract.environment import PATH_PREFIX

P = ParamSpec("P")
R = TypeVar("R")

log = structlog.get_logger()

QUICKSTART = (sys.executable, "-m", "nodeagent.quickstart")
RETRY_S = 1.0
FIRST_MASTER_PORT, MASTER_PORTS = 20_000, 10_000


class NodeAgent(Protocol):
    """What the runner needs of the node agent. The calls block, repeat safely and raise AgentError."""

    def prepare(self, allocation: Allocation) -> Prepared: ...

    def prepared_for(self, claim: str) -> Prepared | None: ...

    def unprepare(self, claim: str) -> None: ...

    def report(self) -> NodeReport: ...


@dataclass
class Runner:
    """Runs the claims of this machine.

    runs            folder of logs and process files
    report          publishes the agent's newest report; awaited before a claim's allocation ends
    grace_s         from TERM to KILL
    """

    control_plane: ControlPlane
    mirror: Mirror
    agent: NodeAgent
    runs: Path
    clock: Clock
    report: Callable[[], Awaitable[None]]
    grace_s: float = 5.0
    processes: Processes = field(default_factory=Processes)

    async def run(self) -> None:
        """Run one task per claim that has something to run or to end, until cancelled."""
        seen = await self._first_look()
        tasks: dict[str, tuple[asyncio.Task[None], asyncio.Event]] = {}
        async with asyncio.TaskGroup() as group:
            while True:
                seen = await self.mirror.wait(seen)
                if not self.mirror.synced:
                    continue
                tasks = {uid: entry for uid, entry in tasks.items() if not entry[0].done()}
                for claim in self.mirror.all(Claim):
                    uid = claim.meta.uid
                    if uid not in tasks and _concerns(claim):
                        leaving = asyncio.Event()
                        tasks[uid] = (group.create_task(self._live(claim, leaving)), leaving)
                    if uid in tasks and claim.meta.deleting is not None:
                        tasks[uid][1].set()
                self._remove_logs()

    async def _first_look(self) -> int:
        """Wait for all objects, then stop what runs for deleted claims; the generation to wait from."""
        seen = -1
        while not self.mirror.synced:
            seen = await self.mirror.wait(seen)
        known = {claim.meta.uid for claim in self.mirror.all(Claim)}
        await asyncio.to_thread(self.processes.cgroups.remove_except, known)
        for uid in (await asyncio.to_thread(self.agent.report)).held:
            if uid not in known:
                log.warning("freeing devices of a deleted claim", claim=uid)
                await asyncio.to_thread(ClaimProcess(uid, self.runs / uid, self.processes).sweep)
                await self._unprepare(uid)
        return -1

    async def _live(self, claim: Claim, leaving: asyncio.Event) -> None:
        """Continue one claim from its status. `leaving` is set when its deletion is requested."""
        uid = claim.meta.uid
        while _concerns(claim) or leaving.is_set():
            try:
                if not leaving.is_set():
                    await self._until(leaving, self._run_to_end(claim))
                if leaving.is_set():
                    await self._end(claim)
                claim = await self.control_plane.get(Claim, claim.meta.name, claim.meta.project)
            except NotFound:
                return
            except ControlPlaneError as error:
                log.warning("cannot write a claim; trying again", claim=claim.meta.name, error=str(error))
                await asyncio.sleep(RETRY_S)
            if claim.meta.uid != uid:
                return
            if claim.meta.deleting is not None:
                leaving.set()

    async def _until(self, leaving: asyncio.Event, work: Awaitable[None]) -> None:
        """Do the work, or drop it as soon as the claim is leaving."""
        working = asyncio.ensure_future(work)
        waiting = asyncio.ensure_future(leaving.wait())
        try:
            await asyncio.wait((working, waiting), return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            if not working.done():
                working.cancel()
                await asyncio.wait((working,))
        if not working.cancelled():
            working.result()

    async def _run_to_end(self, claim: Claim) -> None:
        process = self.process(claim)
        launched = None
        if claim.status.phase is not Phase.RUNNING:
            await self._predecessor_ended(claim)
            prepared = await self._prepare(claim)
            if prepared is None:
                return
            try:
                launched = await self._launch(claim, process, prepared)
            except OSError as error:
                await self._finish(claim, START_FAILED, f"the command could not be started: {error}")
                return
        code = await process.wait(launched)
        if process.was_cut_off():
            await self._run_again(claim)
            return
        await self._sweep(claim, await asyncio.to_thread(process.sweep))
        await self._finish(claim, code, workload_status.ending(code))

    async def _run_again(self, claim: Claim) -> None:
        """The machine went down under the program, which is no failure of it: another pod takes this one's place."""
        spec, why = claim.spec, "the machine was restarted: it runs again"
        log.warning("the machine was restarted under a workload, which runs again", claim=claim.meta.name)
        await self._write(claim, {"reason": "NodeRebooted", "message": why})
        with contextlib.suppress(ControlPlaneError):  # what is not told must not keep it from running
            events, about = EventLog(self.control_plane, self.clock), f"Workload/{spec.workload}"
            text = f"pod {spec.workload}-{spec.index}: {why}"
            await events.record(
                about,
                claim.meta.project,
                "NodeRebooted",
                text,
                uid=spec.workload_uid,
                warning=True,
                happening=claim.meta.uid,
            )
        await self.control_plane.delete(claim)

    async def _sweep(self, claim: Claim, left: Sequence[int]) -> None:
        """Go on until nothing of the claim lives; what does although it was killed is told."""
        while left:
            why = f"process {left[0]} was killed and has not ended: it hangs in the driver or waits for a disk"
            claim = await self._tell(claim, "ProcessHangs", f"{why}; dmesg may say more, and a reboot ends it")
            await asyncio.sleep(RETRY_S)
            left = await asyncio.to_thread(self.process(claim).sweep)

    async def _tell(self, claim: Claim, reason: str, message: str) -> Claim:
        """Say in the claim's status what is waited for."""
        if (claim.status.reason, claim.status.message) == (reason, message):
            return claim
        log.warning("cannot end a claim yet", claim=claim.meta.name, reason=reason, message=message)
        return await self._write(claim, {"reason": reason, "message": message})

    async def _predecessor_ended(self, claim: Claim) -> None:
        """Wait for the pod that this one replaces: two of one index never run side by side."""
        seen, pod = -1, (claim.spec.workload_uid, claim.spec.index)
        while any(
            (other.spec.workload_uid, other.spec.index) == pod and other.spec.attempt < claim.spec.attempt
            for other in self.mirror.all(Claim)
            if not other.status.phase.finished
        ):
            seen = await self.mirror.wait(seen)

    async def _launch(self, claim: Claim, process: ClaimProcess, prepared: Prepared) -> int | None:
        """Start the claim's command unless it runs already; the launcher's pid where it was started here."""
        launched = None
        if not process.started():
            environment, directory, command = self._launch_plan(claim, prepared)
            launched = await _to_the_end(process.start, command, environment, directory)
            await process.begun(launched)
        running = {
            "phase": Phase.RUNNING,
            "reason": "",
            "message": "",
            "pid": launched or process.leader(),
            "started": to_builtins(self.clock()),
            "devices": [device.uuid for device in prepared.devices],
        }
        await self._write(claim, running)
        await self.report()
        return launched

    async def _prepare(self, claim: Claim) -> Prepared | None:
        """The claim's prepared devices; None when it must be placed again."""
        allocation = allocation_of(claim)
        while True:
            try:
                return await _to_the_end(self.agent.prepare, allocation)
            except AgentError as error:
                log.warning("cannot prepare", claim=claim.meta.name, error=str(error), advice=error.advice)
                if error.advice is not Advice.RETRY:
                    await self._give_back(claim, str(error))
                    return None
                claim = await self._write(claim, {"reason": "Preparing", "message": str(error)})
                await asyncio.sleep(RETRY_S)

    async def _give_back(self, claim: Claim, why: str) -> None:
        """Remove an allocation that cannot be prepared, so that another one is planned."""
        await self._unprepare(claim.meta.uid)
        failures = claim.status.failures + 1
        status = {"reason": "CouldNotPrepare", "message": why, "rounded": "", "failures": failures}
        retry_at = self.clock() + delay(failures, claim.spec.workload_uid)
        await self._write(claim, {"allocation": None, "allocated": None, **status, "retryAt": to_builtins(retry_at)})

    async def _finish(self, claim: Claim, code: int, message: str) -> None:
        """Free the claim's devices and write how it ended."""
        await self._unprepare(claim.meta.uid, claim)
        await self._write(
            claim,
            {
                "phase": Phase.FAILED if code else Phase.COMPLETED,
                "reason": "Error" if code else "",
                "message": message if code else "",
                "exitCode": code,
                "finished": to_builtins(self.clock()),
                "allocation": None,
                "pid": None,
            },
        )

    async def _end(self, claim: Claim) -> None:
        """Stop a deleted claim's processes, free its devices and remove the finalizer."""
        await self._sweep(claim, await self.process(claim).stop(self.grace_s))
        await self._unprepare(claim.meta.uid, claim)
        newest = await self.control_plane.get(Claim, claim.meta.name, claim.meta.project)
        if newest.meta.uid != claim.meta.uid:
            return
        rest = [f for f in newest.meta.finalizers if f != PROCESSES_FINALIZER]
        await self.control_plane.patch(newest, {"meta": {"finalizers": rest}}, fenced=True)

    async def _unprepare(self, uid: str, claim: Claim | None = None) -> None:
        """Free a claim's devices; where it is still known, its status says what that waits for."""
        while True:
            try:
                await asyncio.to_thread(self.agent.unprepare, uid)
                break
            except AgentError as error:
                if claim is not None:
                    claim = await self._tell(claim, "CouldNotUnprepare", str(error))
                await asyncio.sleep(RETRY_S)
        await self.report()

    async def _write(self, claim: Claim, status: Mapping[str, Any]) -> Claim:
        written = await self.control_plane.patch(claim, {"status": dict(status)})
        await self.mirror.absorb(written)
        return written

    def process(self, claim: Claim) -> ClaimProcess:
        """The claim's process group and its files."""
        pod = self.runs / claim.spec.workload_uid / str(claim.spec.index)
        return ClaimProcess(claim.meta.uid, pod / claim.meta.uid, self.processes)

    def _remove_logs(self) -> None:
        """Remove the logs of deleted workloads."""
        known = {workload.meta.uid for workload in self.mirror.all(Workload)}
        known |= {claim.spec.workload_uid for claim in self.mirror.all(Claim)}
        for folder in self.runs.iterdir():
            if folder.name not in known:
                shutil.rmtree(folder, ignore_errors=True)

    def _launch_plan(self, claim: Claim, prepared: Prepared) -> tuple[dict[str, str], str, tuple[str, ...]]:
        """Environment, directory and command of a claim's process."""
        workload = self.mirror.get(Workload, claim.spec.workload, claim.meta.project)
        if workload is None or workload.meta.uid != claim.spec.workload_uid:
            raise OSError("its workload was deleted")
        return (
            environment(workload, claim, prepared),
            workload.spec.directory or str(Path.home()),
            workload.spec.command or QUICKSTART,
        )


def allocation_of(claim: Claim) -> Allocation:
    """What the agent prepares for an allocated claim."""
    grant = claim.status.allocation
    assert grant is not None
    return Allocation(claim.meta.uid, claim.meta.name, claim.meta.project, grant.node, grant.devices)


def environment(workload: Workload, claim: Claim, prepared: Prepared) -> dict[str, str]:
    """The environment of a workload's processes: the daemon's, the workload's, the devices' and the pod's identity."""
    own = {
        "MIGCTL_WORKLOAD": workload.meta.name,
        "MIGCTL_PROJECT": workload.meta.project,
        "POD_NAME": claim.meta.name,
        "POD_INDEX": str(claim.spec.index),
        "JOB_COMPLETION_INDEX": str(claim.spec.index),
    }
    devices = dict(prepared.environment)
    path = os.pathsep.join(
        part
        for part in (devices.pop(PATH_PREFIX, ""), workload.spec.environment.get("PATH", os.environ["PATH"]))
        if part
    )
    for variable in {"LD_LIBRARY_PATH"} & devices.keys() & workload.spec.environment.keys():
        devices[variable] += os.pathsep + workload.spec.environment[variable]
    told = _of_each_other(workload, claim) if workload.spec.type is WorkloadType.DISTRIBUTED else {}
    return {**os.environ, **told, **workload.spec.environment, **devices, **own, "PATH": path}


def _of_each_other(workload: Workload, claim: Claim) -> dict[str, str]:
    """How the pods of a distributed training find each other, as torch.distributed reads it: all are on this host."""
    port = FIRST_MASTER_PORT + zlib.crc32(workload.meta.uid.encode()) % MASTER_PORTS
    return {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "RANK": str(claim.spec.index),
        "LOCAL_RANK": "0",
        "WORLD_SIZE": str(workload.spec.parallelism),
    }


async def _to_the_end(call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run a blocking call in a thread; when cancelled, wait for its end first."""
    working = asyncio.ensure_future(asyncio.to_thread(call, *args, **kwargs))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.wait((working,))
        raise


def _concerns(claim: Claim) -> bool:
    """Whether there is something to do for a claim."""
    if claim.meta.deleting is not None:
        return PROCESSES_FINALIZER in claim.meta.finalizers
    return claim.status.allocation is not None and not claim.status.phase.finished
