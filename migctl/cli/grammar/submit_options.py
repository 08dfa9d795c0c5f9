"""The options of `submit`: those that both grammars share, and those that each has flags of its own for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from migctl.cli.grammar import options

if TYPE_CHECKING:
    from migctl.objects import WorkloadType


@dataclass(frozen=True)
class GpuFlags:
    """What a grammar calls the flags of its GPU request, for what is said about them."""

    gpus: str = "-g"
    memory: str = "--gpu-memory"
    profile: str = "--mig-profile"
    devices: str = "--gpu-devices"

    @property
    def by_field(self) -> dict[str, str]:
        """The flag of each field of a workload that only these flags set."""
        return {
            "spec.gpuRequest.fraction": self.gpus,
            "spec.gpuRequest.memoryMib": self.memory,
            "spec.gpuRequest.profile": self.profile,
            "spec.gpuRequest.devices": self.devices,
            "spec.gpuRequest.model": "--gpu-model",
        }


@dataclass(frozen=True)
class GrammarOptions:
    """The options that each grammar has flags of its own for: the type, and the GPUs of each pod as given.

    gpus      a fraction, or a number of whole GPUs
    memory    with its unit
    profile   of MIG, by name
    devices   GPUs that each give the fraction, memory or profile; alone: whole ones
    """

    type: WorkloadType
    gpus: str | None = None
    memory: str | None = None
    profile: str | None = None
    devices: int | None = None
    flags: GpuFlags = GpuFlags()


@dataclass(frozen=True, kw_only=True)
class SubmitOptions:
    """The options that both grammars have, each field with its flag, in the order of --help.

    The grammars' own flags, which make the GPU request, stand after `image`.
    """

    name: Annotated[str | None, typer.Argument(help="Generated where it is left out.", show_default=False)] = None
    image: options.Image = ""
    model: options.GpuModel = None
    preemptible: options.Preemptible = False
    no_move: options.NoMove = False
    project: options.Project = None
    variables: options.Variables = None
    labels: options.Labels = None
    parallelism: options.Parallelism = None
    completions: options.Completions = None
    backoff_limit: options.BackoffLimit = None
    ttl: options.Ttl = None
    suspend: options.Suspended = False
    pools: options.Pools = None
    command: options.Command = False
    dry_run: options.DryRun = False
    verdict: options.Verdict = False
    output: options.Output = None
