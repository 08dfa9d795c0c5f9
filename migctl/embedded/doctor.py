"""What the node agent's doctor finds on this machine, as plain values."""

from __future__ import annotations

from dataclasses import asdict

from migctl.embedded.home import Home
from migctl.embedded.simulated_nodes import node_of
from nodeagent.doctor.doctor import examine
from nodeagent.doctor.findings import ExaminedMachine, Level
from nodeagent.nvml import Nvml
from nodeagent.simulated_nvml.library import SimulatedNvml

ERROR = str(Level.ERROR)


def findings(home: Home) -> list[dict[str, str]]:
    """Check, level, text and fix of each finding, on the GPUs that `migctl up` would serve."""
    if home.simulated.exists():
        machine = ExaminedMachine(
            lambda: Nvml(SimulatedNvml(home.simulated)),
            home.agent,
            simulated=True,
            nodes=tuple(node_of(home.simulated).values()),
        )
    else:
        machine = ExaminedMachine(Nvml, home.agent)
    return [{**asdict(finding), "level": str(finding.level)} for finding in examine(machine)]
