"""What is requested of GPUs, as the solver's demand."""

from __future__ import annotations

from migctl.objects import GpuRequest
from solver.model.demand import ContainerDemands, Demand, Fraction, Memory, MigProfile, OneDemand, WholeGpus


def to_demand(request: GpuRequest) -> Demand:
    """The demand of a pod: each of its containers may have one of its own."""
    return ContainerDemands(tuple(map(of_one, request.containers))) if request.containers else of_one(request)


def of_one(request: GpuRequest) -> OneDemand:
    """The demand of one container."""
    if request.fraction is not None:
        return Fraction(request.fraction, request.devices, request.model)
    if request.memory_mib is not None:
        return Memory(request.memory_mib, request.devices, request.model)
    if request.profile is not None:
        return MigProfile(request.profile, request.devices, request.model)
    return WholeGpus(request.devices, request.model)
