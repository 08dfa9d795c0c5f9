"""Whom a request may push aside."""

from __future__ import annotations

from solver.model.demand import Holding, Request


def may_evict(beneficiary: Request, victim: Holding) -> bool:
    """Inside a project: preemptible work of strictly lower priority that nothing protects."""
    return (
        victim.request.project == beneficiary.project
        and victim.request.preemptible
        and victim.request.priority < beneficiary.priority
        and not victim.protected
    )
