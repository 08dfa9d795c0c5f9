"""A problem in terms of patterns: what every stage of the optimum works on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from solver.batch.columns.arrays import Ints
from solver.batch.optimum.blocks import PatternTable, blocks_of
from solver.batch.optimum.menus import Menus
from solver.batch.problem import Problem


@dataclass(frozen=True, slots=True)
class PatternModel:
    """GPUs take patterns, patterns give items, items serve requests.

    blocks   one per group of the problem, in order: what its GPUs can take
    item_of  (O,) the item that each option uses, numbered over all blocks
    """

    problem: Problem
    menus: Menus
    blocks: Sequence[PatternTable]
    item_of: Ints

    @classmethod
    def of(cls, problem: Problem) -> PatternModel:
        """The model with the patterns of every group; groups without MIG may lack some (PatternTable.complete)."""
        blocks = blocks_of(problem)
        offsets = np.array([block.offset for block in blocks], dtype=np.int64)
        return cls(problem, Menus(problem), blocks, offsets[problem.options.group] + problem.options.item)

    @property
    def gpus(self) -> int:
        return sum(int(block.count.sum()) for block in self.blocks)

    @property
    def items(self) -> int:
        return sum(block.items for block in self.blocks)

    @property
    def complete(self) -> bool:
        """Whether the blocks list every pattern there is."""
        return all(block.complete for block in self.blocks)
