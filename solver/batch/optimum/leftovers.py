"""GPUs that rounding left over: drafts are improved by small integer programs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from solver.batch.optimum.leftover_program import LeftoverProgram
from solver.batch.optimum.linear import SolveFailed
from solver.batch.optimum.pattern_model import PatternModel
from solver.batch.optimum.prices import Prices
from solver.batch.optimum.rounding import PartialSolution, Taken, fitted, operations, tier_weights

RETRIED = 8
SETTLE_S = 0.05


class Settler:
    """Improves drafts by small integer programs over GPUs without a pattern and requests not served yet.

    prices: only the patterns that are worth most at these are offered.
    """

    def __init__(self, model: PatternModel, prices: Prices) -> None:
        self._model, self._prices = model, prices

    def settle(self, draft: PartialSolution, seconds: float = SETTLE_S) -> PartialSolution:
        """Give the GPUs that are left over the patterns that serve most, and serve with them and with what is spare."""
        try:
            return LeftoverProgram(self._model, draft, self._prices).together(seconds)
        except SolveFailed:
            return draft

    def retry(self, draft: PartialSolution, offset: int) -> PartialSolution:
        """The better of the draft and what it becomes when a few of its GPUs may choose again."""
        freed = fitted(self._model, _released(draft.taken, RETRIED, offset), draft.flow)
        return max(draft, self.settle(freed), key=self.merit)

    def merit(self, draft: PartialSolution) -> tuple[float, ...]:
        """Comparable: the weight of each tier in order, then fewest operations."""
        weights = tier_weights(self._model.problem, draft.flow)
        return (*np.round(weights, 6).tolist(), -float(operations(self._model, draft)))


def _released(taken: Sequence[Taken], gpus: int, offset: int) -> list[Taken]:
    """The same without some GPUs, evenly picked from the offset on."""
    stride = max(1, sum(int(part.count.sum()) for part in taken) // gpus)
    freed, before = [], offset % stride
    for part in taken:
        reach = before + np.cumsum(part.count)
        freed.append(Taken(part.state, part.pattern, part.count - (reach // stride - (reach - part.count) // stride)))
        before = int(reach[-1]) if len(reach) else before
    return freed
