"""Who holds a share: a claim, or one of the requests of a claim that has several.

Each container with GPUs has a request of its own in its pod's claim, and with it devices, limits and accounts of its
own. To the agent such a request is a claim like any other, by the name "<uid>.<request>"; what others read of the agent
names the claim. A uid has no dot.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from nodeagent.contract.allocation import Allocation, NodeReport
from solver.model.cluster import Gpu

_BETWEEN = "."


def holder(claim: str, request: str) -> str:
    """The name of one of several requests of a claim, by its uid."""
    return f"{claim}{_BETWEEN}{request}"


def claim_of(name: str) -> str:
    """The uid of a holder's claim."""
    return name.partition(_BETWEEN)[0]


def request_of(name: str) -> str:
    """The request that a holder is; "" where its claim has one only."""
    return name.partition(_BETWEEN)[2]


def by_claims(report: NodeReport) -> NodeReport:
    """The report with claims in place of their requests."""
    return replace(
        report,
        gpus=tuple(map(_by_claims, report.gpus)),
        allocations=_allocations(report.allocations),
        processes=tuple(replace(p, claim=claim_of(p.claim)) if p.claim else p for p in report.processes),
        notes=_notes(report.notes),
    )


def _allocations(allocations: Iterable[Allocation]) -> tuple[Allocation, ...]:
    found: dict[str, Allocation] = {}
    for one in allocations:
        claim = claim_of(one.claim)
        before = found[claim].devices if claim in found else ()
        found[claim] = replace(one, claim=claim, devices=before + one.devices)
    return tuple(found.values())


def _by_claims(gpu: Gpu) -> Gpu:
    return replace(
        gpu,
        instances=tuple(replace(i, claim=claim_of(i.claim)) if i.claim else i for i in gpu.instances),
        parts=tuple(replace(part, claim=claim_of(part.claim)) for part in gpu.parts),
        held_by=claim_of(gpu.held_by) if gpu.held_by else None,
    )


def _notes(notes: Mapping[str, str]) -> dict[str, str]:
    said: dict[str, list[str]] = {}
    for about, text in notes.items():
        request = request_of(about)
        said.setdefault(claim_of(about), []).append(f"request {request}: {text}" if request else text)
    return {about: "; ".join(texts) for about, texts in said.items()}
