"""The verbs of both grammars, about workloads that exist and about files, each with where its command is."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from migctl.cli.grammar.lazy_groups import Lazy, ShellCommand

VERBS: Mapping[str, Lazy] = MappingProxyType(
    {
        "describe": Lazy("migctl.cli.workloads.describe:describe", "Show everything about workloads."),
        "why": Lazy("migctl.cli.workloads.why:why", "Explain why workloads wait, or run where they do."),
        "logs": Lazy("migctl.cli.workloads.output:logs", "Show what a workload wrote."),
        "exec": Lazy("migctl.cli.workloads.shell:exec_", "Run a command beside a workload.", ShellCommand),
        "bash": Lazy("migctl.cli.workloads.shell:bash", "Open a shell beside a workload."),
        "wait": Lazy("migctl.cli.workloads.wait:wait", "Wait until workloads run, end or are gone."),
        "suspend": Lazy("migctl.cli.workloads.lifecycle:suspend", "Stop workloads and free their GPUs."),
        "resume": Lazy("migctl.cli.workloads.lifecycle:resume", "Start suspended workloads again."),
        "delete": Lazy("migctl.cli.workloads.lifecycle:delete", "Delete workloads, or what files describe."),
    }
)

FILES: Mapping[str, Lazy] = MappingProxyType(
    {
        "apply": Lazy("migctl.cli.files.apply:apply", "Create what files describe, or change what is there to match."),
        "diff": Lazy("migctl.cli.files.diff:diff", "Show what applying files would change; nothing is written."),
    }
)
