"""MIG modes of the node: those desired by its GpuNode carried to the agent, the results written back.

`spec.dynamicMig` is the node's, `spec.gpuDynamicMig` has those of single GPUs, by UUID.

The rule is nodeagent/node_status/dynamic_mig.py's.
"""

from __future__ import annotations

from collections.abc import Callable

from nodeagent.gpu.mig_mode import Outcome
from nodeagent.kubernetes.client import Json
from nodeagent.kubernetes.gpu_node import GpuNodeWriter
from nodeagent.node_status.dynamic_mig import DesiredModes, ModeStatus, ModeStatuses, ModeSwitch, is_done, reconcile

EVERY_S = 2.0


class ModeReconciler:
    """One node's. The desired modes are read from the response to the last heartbeat, so that it costs no request.

    changed  is called once a mode may be another: a heartbeat is due
    """

    def __init__(self, node: GpuNodeWriter, agent: ModeSwitch, changed: Callable[[], None]) -> None:
        self._node, self._agent, self._changed = node, agent, changed
        self._written = ModeStatuses()
        self._confirmed = True

    def step(self) -> None:
        """One step towards the desired modes. Raises ApiError."""
        if not self._node.uid:
            return
        spec, status = self._node.spec, self._status()
        desired = DesiredModes(spec.get("dynamicMig"), spec.get("gpuDynamicMig") or {})
        if is_done(desired, status):
            return
        changed = reconcile(self._agent, desired, status)
        if changed != status:
            self._node.write_dynamic_mig(_difference(status, changed))
            self._written, self._confirmed = changed, False
            self._changed()

    def _status(self) -> ModeStatuses:
        """What was written last: the next heartbeat's response shows it."""
        stored = _decoded(self._node.status)
        self._confirmed = self._confirmed or stored == self._written
        return stored if self._confirmed else self._written


def _difference(before: ModeStatuses, now: ModeStatuses) -> Json:
    """The patch of the node's status."""
    gpus = {gpu: _encoded(status) for gpu, status in now.gpus.items()}
    ended: Json = dict.fromkeys(before.gpus.keys() - now.gpus.keys())
    return {"dynamicMig": now.node and _encoded(now.node), "gpuDynamicMig": ended | gpus}


def _encoded(status: ModeStatus) -> Json:
    return {"wanted": status.wanted, "outcome": status.outcome.value, "message": status.message}


def _decoded(stored: Json) -> ModeStatuses:
    node, gpus = stored.get("dynamicMig"), stored.get("gpuDynamicMig") or {}
    return ModeStatuses(node and _decoded_one(node), {gpu: _decoded_one(one) for gpu, one in gpus.items()})


def _decoded_one(stored: Json) -> ModeStatus:
    return ModeStatus(stored["wanted"], Outcome(stored["outcome"]), stored["message"])
