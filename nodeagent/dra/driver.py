"""From a claim's name to devices that a container can use, and back.

Prepare: read the claim, let the agent prepare its share, write the CDI spec. Unprepare: let the agent release it,
remove the spec. Both may be repeated, and either may follow the other after a crash.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Protocol

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, stop_after_delay, wait_fixed

from nodeagent.cdi.edits import ContainerEdits
from nodeagent.cdi.files import SpecFiles
from nodeagent.cdi.sources import EditSource
from nodeagent.contract.allocation import AgentError, Allocation, Busy, Prepared, StaleAllocation
from nodeagent.contract.wire import AllocatedDevice, NotOurs, allocated_devices, allocation_from_json
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
    """What is needed of the agent. The calls block and raise AgentError."""

    def prepare(self, allocation: Allocation) -> Prepared: ...
    def unprepare(self, claim: str) -> None: ...
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
        claims = [prepared.claim for prepared in held]
        self._specs.remove_except(claims)
        self._index.remove_except(claims)
        for claim in set(self._source.claims()) - set(claims):
            self._source.remove(claim)
        for prepared in held:
            ref = self._index.find(prepared.claim)
            self._runs_in(prepared.claim, ref.pods if ref else ())
            self._specs.write(prepared.claim, self._source.apply(prepared, ContainerEdits()))

    def prepare(self, ref: ClaimRef) -> tuple[ClaimDevice, ...]:
        """Raises AgentError with nothing half-done."""
        claim = self._claim(ref)
        try:
            allocation, devices = allocation_from_json(claim), allocated_devices(claim)
        except NotOurs as e:
            raise StaleAllocation(f"claim {ref.namespace}/{ref.name}: {e}") from e
        self._source.check()
        known = self._specs.exists(ref.uid)
        try:
            self._index.add(replace(ref, pods=_pods(claim)))
        except OSError as e:
            raise Busy(f"cannot write the claim's file: {e}; free some space") from e
        self._runs_in(ref.uid, _pods(claim))
        prepared = self._agent.prepare(allocation)
        try:
            cdi_id = self._specs.write(ref.uid, self._source.apply(prepared, ContainerEdits()))
        except (AgentError, OSError) as e:
            if not known:
                with contextlib.suppress(AgentError, OSError):
                    self._agent.unprepare(ref.uid)
                    self._source.remove(ref.uid)
            raise e if isinstance(e, AgentError) else Busy(f"cannot write the CDI spec: {e}; free some space") from e
        return _devices(devices, cdi_id)

    def unprepare(self, ref: ClaimRef) -> None:
        """Raises AgentError. A claim that is not held is fine; it need not exist."""
        _check(ref)
        for attempt in Retrying(
            retry=retry_if_exception_type(Busy),
            stop=stop_after_attempt(_RETRIES) | stop_after_delay(_TIMEOUT_S),
            wait=wait_fixed(_RETRY_S),
            sleep=self._pause,
            reraise=True,
        ):
            with attempt:
                self._agent.unprepare(ref.uid)
        try:
            self._specs.remove(ref.uid)
            self._source.remove(ref.uid)
            self._index.remove(ref.uid)
        except OSError as e:
            raise Busy(f"cannot remove the files of claim {ref.uid}: {e}") from e

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


def _devices(devices: tuple[AllocatedDevice, ...], cdi_id: str) -> tuple[ClaimDevice, ...]:
    """One CDI device stands for the whole claim: a request that got several devices must name it once."""
    first = {device.request: device for device in reversed(devices)}
    return tuple(ClaimDevice(d, (cdi_id,) if d is first[d.request] else ()) for d in devices)
