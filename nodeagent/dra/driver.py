"""From a claim's name to devices that a container can use, and back.

Prepare: read the claim, let the agent make its share ready, write the CDI spec. Unprepare: let the agent
take it back, remove the spec. Both may be repeated, and either may follow the other after a crash.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
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
_LINGER_S = 0.1
_LINGERS = 80  # a process that was killed is on the GPU a little longer
_LONGEST_S = 30.0


@dataclass(frozen=True, slots=True)
class GivenDevice:
    """A device of a prepared claim. `cdi_ids`: what the runtime is told; the first of a request has it."""

    device: AllocatedDevice
    cdi_ids: tuple[str, ...]


class ClaimPreparer(Protocol):
    def prepare(self, allocation: Allocation) -> Prepared: ...
    def unprepare(self, claim: str) -> None: ...
    def prepared(self) -> tuple[Prepared, ...]: ...


class Driver:
    """Thread-safe for different claims; calls for one claim must follow each other.

    read   the ResourceClaim of a namespace and name, raising ApiError
    """

    def __init__(
        self,
        agent: ClaimPreparer,
        read: Callable[[str, str], Json],
        specs: SpecFiles,
        source: EditSource,
        ledger: ClaimIndex,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._agent, self._read, self._specs, self._source, self._pause = agent, read, specs, source, pause
        self._ledger = ledger

    def recover(self) -> None:
        """After a start: the specs of what is held are there and right, others are gone. Raises AgentError, OSError.

        Containers of running pods restart without another Prepare, so their specs must be there.
        """
        held = self._agent.prepared()
        claims = [prepared.claim for prepared in held]
        self._specs.keep_only(claims)
        self._ledger.keep_only(claims)
        for claim in set(self._source.remembered()) - set(claims):
            self._source.forget(claim)
        for prepared in held:
            self._specs.write(prepared.claim, self._source.apply(prepared, ContainerEdits()))

    def prepare(self, ref: ClaimRef) -> tuple[GivenDevice, ...]:
        """Raises AgentError with nothing half-done."""
        claim = self._claim(ref)
        try:
            allocation, devices = allocation_from_json(claim), allocated_devices(claim)
        except NotOurs as e:
            raise StaleAllocation(f"claim {ref.namespace}/{ref.name}: {e}") from e
        self._source.check()
        known = self._specs.exists(ref.uid)
        try:
            self._ledger.note(ref)
        except OSError as e:
            raise Busy(f"cannot note the claim: {e}; free some space") from e
        prepared = self._agent.prepare(allocation)
        try:
            cdi_id = self._specs.write(ref.uid, self._source.apply(prepared, ContainerEdits()))
        except (AgentError, OSError) as e:
            if not known:
                with contextlib.suppress(AgentError, OSError):
                    self._agent.unprepare(ref.uid)
                    self._source.forget(ref.uid)
            raise e if isinstance(e, AgentError) else Busy(f"cannot write the CDI spec: {e}; free some space") from e
        return _given(devices, cdi_id)

    def unprepare(self, ref: ClaimRef) -> None:
        """Raises AgentError. A claim that is not held is fine, and need not exist."""
        _check(ref)
        for attempt in Retrying(
            retry=retry_if_exception_type(Busy),
            stop=stop_after_attempt(_LINGERS) | stop_after_delay(_LONGEST_S),
            wait=wait_fixed(_LINGER_S),
            sleep=self._pause,
            reraise=True,
        ):
            with attempt:
                self._agent.unprepare(ref.uid)
        try:
            self._specs.remove(ref.uid)
            self._source.forget(ref.uid)
            self._ledger.forget(ref.uid)
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
            raise StaleAllocation(f"{where} was replaced: it is {uid} now, {ref.uid} was asked for")
        return claim


def _check(ref: ClaimRef) -> None:
    """A uid becomes a file's name."""
    if not _UID.fullmatch(ref.uid):
        raise StaleAllocation(f"{ref.uid!r} is no uid of a claim")


def _given(devices: tuple[AllocatedDevice, ...], cdi_id: str) -> tuple[GivenDevice, ...]:
    """One CDI device stands for the whole claim: a request that got several devices must name it once."""
    first = {device.request: device for device in reversed(devices)}
    return tuple(GivenDevice(d, (cdi_id,) if d is first[d.request] else ()) for d in devices)
