"""MIG mode of the node: its GpuNode's desired mode (`spec.dynamicMig`) carried to the agent, the result written back.

The rule is nodeagent/node_status/dynamic_mig.py's.
"""

from __future__ import annotations

from collections.abc import Callable

from nodeagent.gpu.mig_mode import Outcome
from nodeagent.kubernetes.client import Json
from nodeagent.kubernetes.gpu_node import GpuNodeWriter
from nodeagent.node_status.dynamic_mig import ModeStatus, ModeSwitch, is_done, reconcile

EVERY_S = 2.0


class ModeReconciler:
    """One node's. The desired mode is read from the response to the last heartbeat, so that it costs no request.

    changed  is called once a mode may be another: a heartbeat is due
    """

    def __init__(self, node: GpuNodeWriter, agent: ModeSwitch, changed: Callable[[], None]) -> None:
        self._node, self._agent, self._changed = node, agent, changed
        self._written: ModeStatus | None = None
        self._confirmed = True

    def step(self) -> None:
        """One step towards the desired mode. Raises ApiError."""
        if not self._node.uid:
            return
        desired, status = self._node.spec.get("dynamicMig"), self._status()
        if is_done(desired, status):
            return
        changed = reconcile(self._agent, desired, status)
        if changed != status:
            self._node.write_dynamic_mig(_encoded(changed))
            self._written, self._confirmed = changed, False
            self._changed()

    def _status(self) -> ModeStatus | None:
        """What was written last: the next heartbeat's response shows it."""
        stored = _decoded(self._node.status.get("dynamicMig"))
        self._confirmed = self._confirmed or stored == self._written
        return stored if self._confirmed else self._written


def _encoded(status: ModeStatus | None) -> Json | None:
    if status is None:
        return None
    return {"wanted": status.wanted, "outcome": status.outcome.value, "message": status.message}


def _decoded(stored: Json | None) -> ModeStatus | None:
    return None if stored is None else ModeStatus(stored["wanted"], Outcome(stored["outcome"]), stored["message"])
