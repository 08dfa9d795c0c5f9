"""The agent's periodic work: checks of the GPUs' health and of the shares' limits, in threads of its own."""

from __future__ import annotations

from collections.abc import Callable

from nodeagent.agent import Agent
from nodeagent.contract.allocation import AgentError, NodeReport
from nodeagent.gpu.events import AgentEvent, EventKind
from nodeagent.nvml import NvmlError
from nodeagent.supervised import SupervisedLoop
from nodeagent.upkeep.error_watch import ErrorWatch
from nodeagent.upkeep.watchdog import Watchdog, WatchdogPolicy


class Upkeep:
    """Checks an agent's GPUs every `every_s` seconds, from `start` to `stop`.

    seen  is called with each report it makes
    """

    def __init__(
        self,
        agent: Agent,
        *,
        policy: WatchdogPolicy = WatchdogPolicy.REPORT,
        every_s: float = 5.0,
        seen: Callable[[NodeReport], None] = lambda report: None,
    ) -> None:
        self._agent, self._seen = agent, seen
        self._watchdog = Watchdog(policy, agent.claim_of)
        self._checks = agent.loops.add(SupervisedLoop("upkeep", self.step, every_s, expected=(NvmlError, AgentError)))
        self._errors = ErrorWatch(agent.nvml, agent.gpus.uuids(), agent.gpus.note_xid)
        agent.loops.add(self._errors.loop)

    def start(self) -> None:
        self._errors.start()
        self._checks.start()

    def stop(self) -> None:
        """Returns when both threads have ended, or one waits for a driver that does not answer."""
        self._errors.stop()
        self._checks.stop()

    def step(self) -> None:
        """Check everything once. A GPU that does not answer is shown so, and checked again the next time."""
        self._agent.owners.remember()
        self._agent.gpus.check_health()
        self._agent.accounts.remember()
        report = self._agent.report()
        self._seen(report)
        self._agent.limit_processes(report)
        self._agent.divide_time(report)
        remarks = self._agent.accounts.reconcile(report)
        for offence, stopped in self._watchdog.check(report):
            kind = EventKind.STOPPED if stopped else EventKind.OVERSTEPPED
            text = f"{offence.text}; it was stopped" if stopped else offence.text
            self._agent.notify(AgentEvent(kind, offence.gpu, offence.claim or "", text=text))
            remarks[offence.claim or f"pid {offence.pid}"] = text
        self._agent.remarks = remarks
