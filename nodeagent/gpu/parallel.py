"""The same work on several GPUs in parallel: a claim over eight of them takes as long as the slowest one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from nodeagent.contract.allocation import AgentError
from nodeagent.gpu.managed_gpu import ManagedGpu

R = TypeVar("R")


def on_each(gpus: Sequence[ManagedGpu], act: Callable[[ManagedGpu], R]) -> list[R | AgentError]:
    """What `act` returned or refused for each GPU, once all have ended. Other errors are raised."""

    def outcome(gpu: ManagedGpu) -> R | AgentError:
        try:
            return act(gpu)
        except AgentError as e:
            return e

    if len(gpus) < 2:
        return [outcome(gpu) for gpu in gpus]
    with ThreadPoolExecutor(len(gpus), thread_name_prefix="gpu") as threads:
        return list(threads.map(outcome, gpus))


def results(outcomes: Sequence[R | AgentError]) -> list[R]:
    """The results, where none is a refusal. Raises the first refusal."""
    found: list[R] = []
    for outcome in outcomes:
        if isinstance(outcome, AgentError):
            raise outcome
        found.append(outcome)
    return found
