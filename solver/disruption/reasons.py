"""What people are told when their work is stopped: by whom, by which rule, and both projects' figures."""

from __future__ import annotations

from solver.model.demand import Grant, Holding, Request
from solver.quota.accounting import granted
from solver.quota.ledger import Ledger


def moved_to(before: Grant, after: Grant) -> str:
    """Where work was moved: to another node, to other GPUs of its node, or within them."""
    if after.node != before.node:
        return f"moved to node {after.node}"
    same = {share.gpu for share in before.devices} == {share.gpu for share in after.devices}
    return f"moved within its GPU on node {after.node}" if same else f"moved to another GPU of node {after.node}"


class Reasons:
    """Sentences with the figures of the moment; to be made before the room changes hands."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def evicted(self, victim: Holding, beneficiary: Request) -> str:
        held, taker = victim.request, f"{beneficiary.project}/{beneficiary.name}"
        pool = self._ledger.pool_of.get(victim.grant.node, "")
        if held.project == beneficiary.project:
            return (
                f"preempted for {taker}, whose priority {beneficiary.priority} is above {held.priority}; "
                f"{self.figures(held.project, pool)}"
            )
        return (
            f"{granted(victim.grant):.2f} GPUs reclaimed for {taker}; "
            f"{self.figures(held.project, pool)}; {self.figures(beneficiary.project, pool)}"
        )

    def moved(self, before: Grant, after: Grant, beneficiary: Request) -> str:
        return f"{moved_to(before, after)} to make room for {beneficiary.project}/{beneficiary.name}"

    def figures(self, project: str, pool: str) -> str:
        """Both levels' figures: "project a: allocated 3.00, quota 2.00, fair share 2.00"."""
        account = self._ledger.account(project, pool)
        if account is None:
            return f"project {project}"
        where = f" in node pool {pool}" if len(self._ledger.pools) > 1 else ""
        above = f"; department {account.parent.name}: {account.parent.text}" if account.parent else ""
        return f"project {project}{where}: {account.text}{above}"
