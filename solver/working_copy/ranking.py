"""The best of many nodes, brought up to date: after each change only the changed nodes are looked at again."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, TypeVar

from solver.working_copy.occupancy import WorkingCluster, WorkingNode

T = TypeVar("T")
Score = tuple[object, ...]


class Ranking(Generic[T]):
    """What `look` makes of each of the nodes, the smallest score first; a node without an answer is left out."""

    def __init__(
        self,
        cluster: WorkingCluster,
        nodes: Sequence[WorkingNode],
        look: Callable[[WorkingNode], tuple[Score, T] | None],
    ) -> None:
        self._changes = cluster.changes
        self._nodes = nodes
        self._places = {node.reported.name: place for place, node in enumerate(nodes)}
        self._look = look
        self._answers: dict[int, tuple[Score, T]] = {}
        self._heap: list[tuple[Score, int]] = []
        self._seen = len(self._changes)
        self.refresh(self._places)

    def best(self) -> tuple[str, T] | None:
        """The best node's name and answer."""
        self._catch_up()
        while self._heap:
            score, place = self._heap[0]
            answer = self._answers.get(place)
            if answer is not None and answer[0] == score:
                return self._nodes[place].reported.name, answer[1]
            heapq.heappop(self._heap)
        return None

    def in_order(self) -> Iterator[T]:
        """All answers, best first, as they are now."""
        self._catch_up()
        ordered = sorted((score, place) for place, (score, _) in self._answers.items())
        return (self._answers[place][1] for _, place in ordered)

    def refresh(self, names: Iterable[str]) -> None:
        """Look again at these nodes, for a change that their own state does not show."""
        for place in sorted(self._places[name] for name in names):
            answer = self._look(self._nodes[place])
            if answer is None:
                self._answers.pop(place, None)
            else:
                self._answers[place] = answer
                heapq.heappush(self._heap, (answer[0], place))

    def _catch_up(self) -> None:
        changed = {name for name in self._changes[self._seen :] if name in self._places}
        self._seen = len(self._changes)
        self.refresh(changed)
