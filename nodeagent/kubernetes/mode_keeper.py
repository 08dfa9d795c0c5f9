"""Brings the node's MIG mode to what its GpuNode wishes (`spec.dynamicMig`) and says what came of it in its status."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from nodeagent.kubernetes.client import Api, ApiError, Json, NotFound
from nodeagent.mig_mode import Outcome
from nodeagent.mode_wish import ModeSwitch, carry_out
from nodeagent.wire import API_VERSION

EVERY_S = 10.0
"""Every node of a cluster asks so often; modes change a few times a year."""

_log = structlog.get_logger("nodeagent")


class ModeKeeper:
    """One node's. `changed` is told once a mode may be another."""

    def __init__(self, api: Api, node: str, agent: ModeSwitch, changed: Callable[[], None]) -> None:
        self._api, self._agent, self._changed = api, agent, changed
        self._path = f"/apis/{API_VERSION}/gpunodes/{node}"
        self._trouble = ""

    def look(self) -> None:
        """One step; what keeps the API server from being asked is logged once."""
        try:
            self.step()
            self._trouble = ""
        except ApiError as e:
            if str(e) != self._trouble:
                _log.warning("cannot tell which MIG mode is wanted", error=str(e))
            self._trouble = str(e)

    def step(self) -> None:
        """Carry the wish one step on. Raises ApiError."""
        try:
            node = self._api.get(self._path)
        except NotFound:
            return  # the agent has not published anything yet
        wanted, answer = (node.get("spec") or {}).get("dynamicMig"), (node.get("status") or {}).get("dynamicMig")
        if wanted is None:
            if answer is not None:
                self._tell(None)
            return
        if answer is not None and (answer["wanted"], answer["outcome"]) == (wanted, Outcome.DONE):
            return
        fresh = carry_out(self._agent, wanted)
        told = {"wanted": fresh.wanted, "outcome": fresh.outcome.value, "message": fresh.message}
        if told != answer:
            _log.info("switched MIG mode", on=wanted, outcome=fresh.outcome.value, reason=fresh.message)
            self._changed()
            self._tell(told)

    def _tell(self, answer: Json | None) -> None:
        self._api.patch(f"{self._path}/status", {"status": {"dynamicMig": answer}})
