"""From a claim's name to devices that a container can use, and back.

Prepare: read the claim, let the agent prepare what each of its requests was given, write a CDI spec for each: a
container gets the devices of the request that it names. Unprepare: let the agent release them, remove the specs. Both
may be repeated, and either may follow the other after a crash.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, stop_after_delay, wait_fixed

from nodeagent.cdi.edits import ContainerEdits
from nodeagent.cdi.files import SpecFiles
from nodeagent.cdi.sources import EditSource
from nodeagent.contract.allocation import AgentError, Allocation, Busy, Prepared, StaleAllocation
from nodeagent.contract.holders import claim_of
from nodeagent.contract.wire import (
    AllocatedDevice,
    NotOurs,
    allocated_devices,
    allocation_from_json,
    allocations_by_request,
)
from nodeagent.dra.claim_index import ClaimIndex, ClaimRef
from nodeagent.kubernetes.client import ApiError, ApiNotFound, Json

_UID = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]{0,62}")
_RETRY_S = 0.1
_RETRIES = 80  # a process that was killed is on the GPU a little longer
_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class ClaimDevice:
    """A device of a prepared claim. `cdi_ids`: what the runtime injects; the first device of a request has them."""

    device: AllocatedDevice
    cdi_ids: tuple[str, ...]


class ClaimPreparer(Protocol):
    """What is needed of the agent, which knows claims by their holders. The calls block and raise AgentError."""

    def prepare(self, allocation: Allocation) -> Prepared: ...
    def unprepare(self, claim: str) -> None: ...
    def held(self) -> tuple[str, ...]: ...
    def prepared(self) -> tuple[Prepared, ...]: ...


class Driver:
    """Thread-safe for different claims; calls for one claim must follow each other.

    read     the ResourceClaim of a namespace and name, raising ApiError
    runs_in  is told which pods, by uid, use a claim
    """

    def __init__(
        self,
        agent: ClaimPreparer,
        read: Callable[[str, str], Json],
        specs: SpecFiles,
        source: EditSource,
        index: ClaimIndex,
        runs_in: Callable[[str, Collection[str]], None] = lambda claim, pods: None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._agent, self._read, self._specs, self._source, self._pause = agent, read, specs, source, pause
        self._index, self._runs_in = index, runs_in

    def recover(self) -> None:
        """After a start: write the specs of held claims, remove all others. Raises AgentError, OSError.

        Containers of running pods restart without another Prepare, so their specs must exist.
        """
        held = self._agent.prepared()
        holders = [prepared.claim for prepared in held]
        self._specs.remove_except(holders)
        self._index.remove_except(list(map(claim_of, holders)))
        for holder in set(self._source.claims()) - set(holders):
            self._source.remove(holder)
        for prepared in held:
            ref = self._index.find(claim_of(prepared.claim))
            self._runs_in(prepared.claim, ref.pods if ref else ())
            self._specs.write(prepared.claim, self._source.apply(prepared, ContainerEdits()))

    def prepare(self, ref: ClaimRef) -> tuple[ClaimDevice, ...]:
        """Raises AgentError with nothing half-done."""
        claim = self._claim(ref)
        try:
            allocations, devices = allocations_by_request(claim), allocated_devices(claim)
        except NotOurs as e:
            raise StaleAllocation(f"claim {ref.namespace}/{ref.name}: {e}") from e
        if ref.uid in self._agent.held():  # by an agent of an older version, which knew no requests
            allocations = dict.fromkeys(allocations, allocation_from_json(claim))
        self._source.check()
        pods = _pods(claim)
        try:
            self._index.add(replace(ref, pods=pods))
        except OSError as e:
            raise Busy(f"cannot write the claim's file: {e}; free some space") from e
        anew: list[str] = []
        cdi_ids: dict[str, str] = {}
        for request, allocation in allocations.items():
            known = self._specs.exists(allocation.claim)
            self._runs_in(allocation.claim, pods)
            try:
                prepared = self._agent.prepare(allocation)
                anew += [] if known else [allocation.claim]
                cdi_ids[request] = self._write(prepared)
            except AgentError:
                self._release_all(anew)
                raise
        return _devices(devices, cdi_ids)

    def _write(self, prepared: Prepared) -> str:
        """Write the spec of a claim or request; its CDI device. Raises AgentError."""
        try:
            return self._specs.write(prepared.claim, self._source.apply(prepared, ContainerEdits()))
        except OSError as e:
            raise Busy(f"cannot write the CDI spec: {e}; free some space") from e

    def _release_all(self, holders: Collection[str]) -> None:
        """Undo a Prepare that failed. What cannot be released now is by Unprepare, or at the next start."""
        for holder in holders:
            with contextlib.suppress(AgentError, OSError):
                self._agent.unprepare(holder)
                self._specs.remove(holder)
                self._source.remove(holder)

    def unprepare(self, ref: ClaimRef) -> None:
        """Raises AgentError. A claim that is not held is fine; it need not exist."""
        _check(ref)
        for holder in self._holders(ref.uid):
            self._release(holder)
        try:
            self._index.remove(ref.uid)
        except OSError as e:
            raise Busy(f"cannot remove the file of claim {ref.uid}: {e}") from e

    def _holders(self, uid: str) -> list[str]:
        """The claim, and those of its requests of which anything is here."""
        known = {*self._agent.held(), *self._specs.devices(), *self._source.claims()}
        return sorted({uid, *(holder for holder in known if claim_of(holder) == uid)})

    def _release(self, holder: str) -> None:
        for attempt in Retrying(
            retry=retry_if_exception_type(Busy),
            stop=stop_after_attempt(_RETRIES) | stop_after_delay(_TIMEOUT_S),
            wait=wait_fixed(_RETRY_S),
            sleep=self._pause,
            reraise=True,
        ):
            with attempt:
                self._agent.unprepare(holder)
        try:
            self._specs.remove(holder)
            self._source.remove(holder)
        except OSError as e:
            raise Busy(f"cannot remove the files of claim {holder}: {e}") from e

    def _claim(self, ref: ClaimRef) -> Json:
        _check(ref)
        where = f"claim {ref.namespace}/{ref.name}"
        try:
            claim = self._read(ref.namespace, ref.name)
        except ApiNotFound as e:
            raise StaleAllocation(f"{where} does not exist (any more)") from e
        except ApiError as e:
            raise Busy(f"{where} cannot be read: {e}") from e
        uid = claim["metadata"]["uid"]
        if uid != ref.uid:
            raise StaleAllocation(f"{where} was replaced: it is {uid} now, {ref.uid} was requested")
        return claim


def _pods(claim: Json) -> tuple[str, ...]:
    """Uids of the pods that use a claim."""
    users = claim.get("status", {}).get("reservedFor") or ()
    return tuple(user["uid"] for user in users if user.get("resource") == "pods")


def _check(ref: ClaimRef) -> None:
    """Raises StaleAllocation on a uid that cannot be a file's name."""
    if not _UID.fullmatch(ref.uid):
        raise StaleAllocation(f"{ref.uid!r} is no uid of a claim")


def _devices(devices: tuple[AllocatedDevice, ...], cdi_ids: Mapping[str, str]) -> tuple[ClaimDevice, ...]:
    """One CDI device stands for a whole request: one that got several devices must name it once."""
    first = {device.request: device for device in reversed(devices)}
    return tuple(ClaimDevice(d, (cdi_ids[d.request],) if d is first[d.request] else ()) for d in devices)
