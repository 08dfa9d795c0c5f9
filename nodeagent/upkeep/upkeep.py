"""What an agent does on its own: watch the GPUs' health and the shares' limits, in threads of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable

from nodeagent.agent import Agent
from nodeagent.contract.allocation import NodeReport
from nodeagent.gpu.events import AgentEvent, EventKind
from nodeagent.nvml import NvmlError
from nodeagent.upkeep.health import ErrorWatch
from nodeagent.upkeep.watchdog import Watchdog, WatchdogPolicy

_END_S = 10.0


class Upkeep:
    """Looks after an agent's GPUs every `every_s` seconds, from `start` to `stop`. `seen` gets each report it makes."""

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
        self._every_s = every_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)
        self._errors = ErrorWatch(agent.nvml, agent.gpu_uuids(), agent.log_xid)

    def start(self) -> None:
        self._errors.start()
        self._thread.start()

    def stop(self) -> None:
        """Returns when both threads have ended, or one waits for a driver that does not answer."""
        self._over.set()
        self._errors.stop()
        if self._thread.is_alive():
            self._thread.join(_END_S)

    def step(self) -> None:
        """One look at everything."""
        self._agent.examine()
        self._agent.books.look()
        report = self._agent.report()
        self._seen(report)
        self._agent.follow_processes(report)
        self._agent.divide_time(report)
        remarks = self._agent.books.reconcile(report)
        for offence, stopped in self._watchdog.look(report):
            what = EventKind.STOPPED if stopped else EventKind.OVERSTEPPED
            text = f"{offence.text}; it was stopped" if stopped else offence.text
            self._agent.tell(AgentEvent(what, offence.gpu, offence.claim or "", text=text))
            remarks[offence.claim or f"pid {offence.pid}"] = text
        self._agent.remarks = remarks

    def _run(self) -> None:
        while not self._over.wait(self._every_s):
            try:
                self.step()
            except NvmlError as e:
                self._agent.tell(AgentEvent(EventKind.FAULTY, detail="driver", text=str(e)))
